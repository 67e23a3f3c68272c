"use strict";
const find = (id) => document.getElementById(id);
const make = (tag, text = "", name = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  element.dir = "auto"; // names may be of any script
  return element;
};
const percent = (share) => (100 * share).toFixed(1) + "%";
const say = (text) => { find("status").textContent = text; };

let waiting = [];
let answers = [];
let addresses = [];
let current = null;
let wantsKey = false;
let coverage = 0;
let sheets = {};

function askForKey() {
  wantsKey = true;
  find("keyform").hidden = false;
  say(key ? "That is not the key of this server." : "");
  find("key").focus();
}

async function about() {
  try {
    const model = await parsed(await ask("model"));
    const shown = model.classes.slice(0, 12).join(", ");
    const more = model.classes.length - 12;
    coverage = model.coverage || 0;
    find("about").textContent = "It tells apart: " + shown
      + (more > 0 ? " and " + more + " more" : "") + ". Model " + model.model + ".";
    find("keyform").hidden = true;
    wantsKey = false;
    work();
  } catch (error) {
    find("about").textContent = error.status === 401 ? "" : error.message;
    if (error.status === 401) askForKey();
  }
}

function bars(top) {
  const table = make("table", "", "bars");
  for (const { label, probability } of top) {
    const row = table.insertRow();
    const name = make("th", label);
    name.scope = "row";
    const bar = make("progress");
    bar.max = 1;
    bar.value = probability;
    bar.setAttribute("aria-label", label);
    row.append(name);
    row.insertCell().append(bar);
    row.insertCell().textContent = percent(probability);
  }
  return table;
}

function address(blob) {
  const url = URL.createObjectURL(blob);
  addresses.push(url);
  return url;
}

function button(text, act) {
  const made = make("button", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function heatButton(file, image, { label, index }) {
  const cold = image.src;
  let warm = "";
  const made = button("What speaks for " + label, async () => {
    // A button that is disabled would lose the focus.
    if (made.getAttribute("aria-disabled") === "true") return;
    const on = made.getAttribute("aria-pressed") !== "true";
    made.setAttribute("aria-disabled", "true");
    try {
      warm ||= address(await askUntilFree("heatmap?index=" + index, file));
      image.src = on ? warm : cold;
      made.setAttribute("aria-pressed", String(on));
      say("");
    } catch (error) {
      say(error.message);
    }
    made.removeAttribute("aria-disabled");
  });
  made.setAttribute("aria-pressed", "false");
  return made;
}

function heading({ label, probability, reason }) {
  if (reason === "none of the classes") return "None of the classes";
  if (reason) return "Unknown (" + reason + ")";
  return label + ", " + percent(probability);
}

// The set holds for images of a class: where the image shows none of them, it would mislead.
function setLine({ set, reason }) {
  if (!set || reason === "none of the classes" || (set.length === 1 && !reason)) return "";
  const more = set.length > 8 ? " and " + (set.length - 8) + " more" : "";
  return "It may be: " + set.slice(0, 8).join(", ") + more
    + " (" + percent(coverage) + " of such sets hold the class)";
}

// The thumbnails of a model's training images: their address, and how they are divided.
async function sheet(version) {
  const { model, similar_images: tiles } = await parsed(await ask("model"));
  if (model !== version || !tiles) throw new Error("The server has another model now.");
  return { ...tiles, url: URL.createObjectURL(await ask("similar.jpg?model=" + version)) };
}

function similarImages({ similar, model }) {
  if (!similar.length) return [];
  const list = make("ul", "", "similar");
  for (const { path, label, similarity, tile } of similar) {
    const picture = make("span", "", "tile");
    const item = make("li");
    item.title = path + ", similarity " + similarity.toFixed(2);
    item.append(picture, make("span", label));
    list.append(item);
    sheets[model] ||= sheet(model);
    sheets[model].then(({ url, side, columns }) => {
      picture.style.width = picture.style.height = side + "px";
      picture.style.backgroundImage = `url("${url}")`;
      picture.style.backgroundPosition =
        `${-side * (tile % columns)}px ${-side * Math.floor(tile / columns)}px`;
    }).catch(() => { // names and classes stand there without
      picture.hidden = true;
      delete sheets[model];
    });
  }
  return [make("p", "Training images that look like it:", "quiet"), list];
}

// What the page knows of an image, from the moment when it is chosen.
function newItem(file) {
  const item = { file, stop: new AbortController(), answer: null };
  item.image = make("img");
  item.image.alt = file.name || "pasted image";
  item.image.src = address(file);
  item.image.addEventListener("error", () => { item.image.hidden = true; });
  item.title = make("h2", "Waiting …");
  item.details = make("div");
  const text = make("div");
  text.append(item.title, make("p", file.name || "pasted", "quiet"), item.details);
  const place = make("li", "", "item");
  place.append(item.image, text);
  find("history").prepend(place);
  return item;
}

function queue(item) {
  item.stop = new AbortController();
  item.title.className = "";
  item.title.textContent = "Waiting …";
  item.details.replaceChildren(button("Cancel", () => {
    item.stop.abort();
    if (waiting.includes(item)) fail(item, "Cancelled.");
    waiting = waiting.filter((other) => other !== item);
  }));
  waiting.push(item);
}

function fail(item, reason) {
  item.title.textContent = reason;
  item.title.className = "problem";
  item.details.replaceChildren(button("Try again", () => { queue(item); work(); }));
}

function succeed(item, answer) {
  item.title.textContent = heading(answer);
  const set = setLine(answer);
  item.details.replaceChildren(
    ...(set ? [make("p", set)] : []),
    bars(answer.top),
    ...similarImages(answer),
    make("p", answer.milliseconds.toFixed(1) + " ms", "quiet"),
    heatButton(item.file, item.image, answer.top[0]),
  );
  answers.push({ image: item.file.name || "pasted", ...answer });
  const row = find("results").tBodies[0].insertRow();
  for (const text of answerCells(answers.at(-1))) row.append(make("td", text));
  find("summary").hidden = answers.length < 2;
}

const answerCells = ({ image, label, probability, reason }) =>
  [image, reason ? label + " (" + reason + ")" : label, percent(probability)];

async function classify(item) {
  try {
    item.title.textContent = "…";
    const busy = () => { item.title.textContent = "The server is busy; it will be asked again …"; };
    succeed(item, await parsed(
      await askUntilFree("predict?top_k=5", item.file, item.stop.signal, busy)));
  } catch (error) {
    if (error.status === 401) {
      item.title.textContent = "Waiting for the key …";
      waiting.unshift(item);
      askForKey();
      return;
    }
    fail(item, error.message);
  }
}

async function work() {
  if (current) return;
  while (waiting.length && !wantsKey) {
    say("Images to go: " + waiting.length);
    current = waiting.shift();
    await classify(current);
    // The history may have been cleared meanwhile.
    if (!wantsKey && current.title.isConnected) say(current.title.textContent);
  }
  current = null;
}

function take(files) {
  const images = files.filter((file) => !file.type || file.type.startsWith("image/"));
  for (const file of images) queue(newItem(file));
  find("clear").hidden = find("history").childElementCount === 0;
  work();
  const others = files.length - images.length;
  if (others) say((others === 1 ? "1 file is" : others + " files are") + " no image and left out.");
}

// All files below a dropped folder; a browser gives them by a hundred.
async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((done, fault) => entry.file(done, fault))];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const some = await new Promise((done, fault) => reader.readEntries(done, fault));
    if (!some.length) return files;
    for (const one of some) {
      if (!one.name.startsWith(".")) files.push(...await filesBelow(one));
    }
  }
}

async function takeDropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return take([...transfer.files]);
  try {
    take((await Promise.all(entries.map(filesBelow))).flat());
  } catch (error) {
    say("The folder cannot be read (" + error.message + ").");
  }
}

function save(name, text, type) {
  const link = document.createElement("a");
  link.href = address(new Blob([text], { type }));
  link.download = name;
  link.click();
}

// A spreadsheet takes what begins like this for a formula.
const cell = (value) => {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
  return /[",\n\r]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
};

const COLUMNS = ["image", "label", "probability", "reason", "outside", "set"];

find("csv").addEventListener("click", () => {
  const rows = answers.map((answer) => COLUMNS.map((name) => cell(
    name === "set" ? answer.set?.join("; ") : answer[name])).join(","));
  save("answers.csv", [COLUMNS.join(","), ...rows].join("\r\n") + "\r\n", "text/csv");
});
find("json").addEventListener("click", () => {
  save("answers.json", JSON.stringify(answers, null, 2) + "\n", "application/json");
});
find("copy").addEventListener("click", async () => {
  const lines = [["Image", "Answer", "Probability"], ...answers.map(answerCells)];
  try {
    await navigator.clipboard.writeText(lines.map((line) => line.join("\t")).join("\n"));
    say("The table is in the clipboard.");
  } catch {
    say("The browser lets only pages from this machine or over HTTPS copy; save the table instead.");
  }
});
for (const id of ["files", "camera"]) {
  find(id).addEventListener("change", (event) => {
    take([...event.target.files]);
    event.target.value = "";
  });
}
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", name === "dragover");
    if (name === "drop") takeDropped(event.dataTransfer);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take([...event.clipboardData.files]);
});
find("clear").addEventListener("click", () => {
  waiting = [];
  current?.stop.abort();
  addresses.forEach(URL.revokeObjectURL);
  addresses = [];
  answers = [];
  find("history").replaceChildren();
  find("results").tBodies[0].replaceChildren();
  find("summary").hidden = true;
  find("clear").hidden = true;
  say("");
  find("files").focus();
});
find("keyform").addEventListener("submit", (event) => {
  event.preventDefault();
  key = find("key").value.trim();
  about();
});
about();
