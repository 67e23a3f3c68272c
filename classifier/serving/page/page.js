"use strict";
const say = (text) => { find("status").textContent = text; };

let waiting = [];
let answers = [];
let current = null;
let wantsKey = false;

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
    ...answer.warnings.map((warning) => make("p", "Warning: " + warning, "quiet")),
    ...similarImages(answer),
    make("p", answer.milliseconds.toFixed(1) + " ms", "quiet"),
    // With costs, the class that is answered may be another one than the most probable.
    heatButton(item.file, item.image, answer.reason ? answer.top[0] : answer, answer.model),
  );
  answers.push({ image: item.file.name || "pasted", ...answer });
  const row = find("results").tBodies[0].insertRow();
  for (const text of answerCells(answers.at(-1))) row.append(make("td", text));
  find("summary").hidden = answers.length < 2;
}

const answerCells = ({ image, label, probability, reason }) =>
  // The probability is that of a class, and would be misread beside "unknown".
  reason ? [image, label + " (" + reason + ")", ""] : [image, label, percent(probability)];

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
  find("leftout").textContent = leftOut(files.filter((file) => !images.includes(file)));
  if (!files.length) say("There is no file in what was dropped.");
}

// It stays until other files are chosen, while the status goes on.
function leftOut(files) {
  if (!files.length) return "";
  const names = files.slice(0, 5).map((file) => file.name).join(", ");
  const more = files.length > 5 ? " and " + (files.length - 5) + " more" : "";
  return (files.length === 1 ? "1 file is" : files.length + " files are")
    + " no image and left out: " + names + more + ".";
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

// A spreadsheet takes text that begins like this for a formula.
const noFormula = (value) =>
  (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? "'" + value : String(value ?? ""));
const cell = (value) => {
  const text = noFormula(value);
  return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
};
const pasted = (value) => noFormula(value).replace(/[\t\n\r]/g, " ");

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
    await navigator.clipboard.writeText(lines.map((line) => line.map(pasted).join("\t")).join("\n"));
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
  find("leftout").textContent = "";
  say("");
  find("files").focus();
});
find("keyform").addEventListener("submit", (event) => {
  event.preventDefault();
  key = find("key").value.trim();
  about();
});
about();
