// The page: takes images, shows what the model answers. Nothing leaves this browser.

import { ranked } from "./answer.js";
import { loadModel } from "./model.js";

const SHOWN = 5;
const find = (id) => document.getElementById(id);
const make = (tag, text = "", name = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  element.dir = "auto"; // names may be of any script
  return element;
};
const percent = (share) => (100 * share).toFixed(1) + "%";
const list = (names, most) => (names.length > most
  ? names.slice(0, most).join(", ") + " and " + (names.length - most) + " more"
  : names.join(", "));

const loading = loadModel();
let waiting = [];
let addresses = [];
let busy = false;

function heading(classes, { index, reason, probabilities }) {
  if (reason === "none of the classes") return "None of the classes";
  if (reason) return "Unknown (" + reason + ")";
  return classes[index] + ", " + percent(probabilities[index]);
}

// The set holds for images of a class: where the image shows none of them, it would mislead.
function setLine({ classes, decision }, { set, reason }) {
  if (!set || reason === "none of the classes" || (set.length === 1 && !reason)) return "";
  const names = list(set.map((index) => classes[index]), 8);
  return "It may be: " + names + " (" + percent(decision.sets.coverage) + " of such sets hold the class)";
}

function bars(classes, probabilities) {
  const table = make("table");
  for (const index of ranked(probabilities).slice(0, SHOWN)) {
    const row = table.insertRow();
    const name = make("th", classes[index]);
    name.scope = "row";
    row.append(name);
    const bar = make("progress");
    bar.max = 1;
    bar.value = probabilities[index];
    bar.setAttribute("aria-label", classes[index]);
    row.insertCell().append(bar);
    row.insertCell().textContent = percent(probabilities[index]);
  }
  return table;
}

function similarImages({ classes, similar: sheet }, similar) {
  const list = make("ul", "", "similar");
  for (const { path, index, similarity, tile } of similar) {
    const { side, columns } = sheet;
    const picture = make("span", "", "tile");
    picture.style.backgroundPosition =
      `${-side * (tile % columns)}px ${-side * Math.floor(tile / columns)}px`;
    picture.style.width = picture.style.height = side + "px";
    const item = make("li");
    item.title = path + ", similarity " + similarity.toFixed(2);
    item.append(picture, make("span", classes[index]));
    list.append(item);
  }
  return [make("p", "Training images that look like it:", "quiet"), list];
}

function show(file) {
  const item = make("li", "", "item");
  const image = make("img");
  const url = URL.createObjectURL(file);
  addresses.push(url);
  image.alt = file.name || "pasted image";
  image.src = url;
  image.addEventListener("error", () => { image.hidden = true; });
  const text = make("div");
  text.append(make("h2", "…"), make("p", file.name || "pasted", "quiet"));
  item.append(image, text);
  find("history").prepend(item);
  find("clear").hidden = false;
  return text;
}

async function classify(file, text) {
  const title = text.querySelector("h2");
  try {
    const { config, classify: answerTo } = await loading;
    const started = performance.now();
    const answer = await answerTo(file);
    const milliseconds = performance.now() - started;
    title.textContent = heading(config.classes, answer);
    const set = setLine(config, answer);
    if (set) text.append(make("p", set));
    text.append(bars(config.classes, answer.probabilities));
    if (answer.similar.length) text.append(...similarImages(config, answer.similar));
    text.append(make("p", milliseconds.toFixed(0) + " ms", "quiet"));
  } catch (error) {
    title.textContent = error.message;
    title.className = "problem";
  }
  return title.textContent;
}

async function work() {
  if (busy) return;
  busy = true;
  while (waiting.length) {
    find("status").textContent = "Images to go: " + waiting.length;
    const [file, place] = waiting.shift();
    const said = await classify(file, place);
    // The history may have been cleared meanwhile.
    if (place.isConnected) find("status").textContent = waiting.length ? "" : said;
    await new Promise((done) => setTimeout(done)); // lets the page show it
  }
  busy = false;
}

function take(files) {
  for (const file of files) waiting.push([file, show(file)]);
  work();
}

find("files").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") take([...event.dataTransfer.files]);
  });
}
document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
find("clear").addEventListener("click", () => {
  waiting = [];
  addresses.forEach(URL.revokeObjectURL);
  addresses = [];
  find("history").replaceChildren();
  find("status").textContent = "";
  find("clear").hidden = true;
  find("files").focus();
});

try {
  const { config } = await loading;
  find("about").textContent = "It tells apart: " + list(config.classes, 12) + ". Model " + config.model
    + ". Your images stay in this browser.";
} catch (error) {
  find("about").textContent = "The model cannot be loaded: " + error.message;
  find("about").className = "problem";
}
