"use strict";
// How an answer is shown: its elements, made of what the server says.
const find = (id) => document.getElementById(id);
const make = (tag, text = "", name = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  element.dir = "auto"; // names may be of any script
  return element;
};
const percent = (share) => (100 * share).toFixed(1) + "%";

// The addresses of images, to be given back when the history is cleared.
let addresses = [];
// The coverage of the prediction sets, as the model says it.
let coverage = 0;
// The sheets of training images, by the version of the model.
const sheets = {};

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

function heatButton(file, image, { label, index }, model) {
  const cold = image.src;
  let warm = "";
  const made = button("Show what supports " + label, async () => {
    // A button that is disabled would lose the focus.
    if (made.getAttribute("aria-disabled") === "true") return;
    const on = made.getAttribute("aria-pressed") !== "true";
    made.setAttribute("aria-disabled", "true");
    try {
      warm ||= address(await askUntilFree(`heatmap?index=${index}&model=${model}`, file));
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
