"use strict";

/* What every page has: its data, its charts in the theme of the reader, tables, copying, printing. */

const root = document.documentElement;
const coarse = matchMedia("(pointer: coarse), (max-width: 600px)");
const figures = {}; /* id of an element -> { choices: { label: figure } } */
const searches = []; /* for the pages of the trials */
const marks = []; /* functions of a figure that change how it is drawn */
const listeners = []; /* functions of (element, id) of a chart that was drawn for the first time */
const PAPER = 700; /* pixels */
let printing = false;

/* -- what the file brings -- */

/* plotly.js and the data are most of this file, so they are compressed; the hash of the former lets it in. */
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function say(trouble) {
  const place = document.getElementById("trouble");
  place.textContent = trouble;
  place.hidden = !trouble;
}

async function loadPlotly() {
  const script = document.createElement("script");
  const loaded = new Promise((resolve, reject) => Object.assign(script, { onload: resolve, onerror: reject }));
  if (document.getElementById("plotly")) script.textContent = await unpacked("plotly");
  else script.src = "plotly.js";
  document.head.append(script);
  if (script.src) await loaded;
  if (!window.Plotly) throw new Error("plotly.js did not run");
}

async function loadData() {
  const plain = document.getElementById("figures");
  if (plain) Object.assign(figures, JSON.parse(plain.textContent));
  else if (document.getElementById("data")) take(JSON.parse(await unpacked("data")));
  else {
    await new Promise((resolve) => addEventListener("DOMContentLoaded", resolve)); /* of the script that knows the server */
    await loadFirst();
  }
}

function take(data) {
  for (const id of Object.keys(figures)) if (id !== "chart-of-trial") delete figures[id];
  for (const { choices } of Object.values(data.figures)) {
    for (const trace of Object.values(choices).flatMap((figure) => figure.data)) {
      if (Array.isArray(trace.text)) trace.text = trace.text.map((number) => data.texts[number]);
    }
  }
  Object.assign(figures, data.figures);
  searches.splice(0, searches.length, ...data.searches);
}

function load() {
  if (document.getElementById("plotly") && typeof DecompressionStream === "undefined") {
    say("The charts and the pages of the trials need a newer browser, which can unpack this file (Chrome 80, Firefox 113, Safari 16.4). The tables are complete.");
    return new Promise(() => {});
  }
  return Promise.all([loadPlotly(), loadData()]).catch((error) => {
    say(`The charts cannot be drawn: ${error.message ?? "plotly.js cannot be loaded"}. The tables are complete.`);
    return new Promise(() => {});
  });
}

const ready = load();

/* -- charts -- */

/* The colours of a chart that depend on the theme. The scale is viridis without the end that the ground would swallow, so
   that the best scores stand out on either. */
const viridis = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const scale = (colours) => colours.map((colour, i) => [i / (colours.length - 1), colour]);
const themes = { /* quiet: of a map under coloured lines, from the lowest loss to the highest */
  light: { text: "#1b1f24", grid: "#e1e5ea", card: "#ffffff", faint: "#e3e6ea", strong: "#b3005e", scale: scale(viridis.slice(0, 9).reverse()), quiet: scale(["#ffffff", "#dfe3e8", "#b9c1cc", "#8f9aa8"]) },
  dark: { text: "#e6e9ee", grid: "#2b323c", card: "#171b22", faint: "#2b313a", strong: "#ff7ab8", scale: scale(viridis.slice(2)), quiet: scale(["#0d1015", "#1d232c", "#323b48", "#4a5666"]) },
};
const theme = () => themes[printing ? "light" : root.dataset.theme];

function themed(figure) {
  const { text, grid, card, ...colours } = theme();
  const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: grid };
  const template = {
    layout: {
      font: { color: text, family: getComputedStyle(document.body).fontFamily, size: 13 },
      paper_bgcolor: card,
      plot_bgcolor: card,
      xaxis: { ...axis, title: { font: { size: 13 } } },
      yaxis: { ...axis, title: { font: { size: 13 } }, automargin: true },
      hoverlabel: { bgcolor: card, bordercolor: grid, font: { color: text }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "#8a8f98", activecolor: text },
    },
  };
  const layout = { uirevision: "kept", ...figure.layout, template };
  const colorscale = colours[layout.meta?.scale ?? "scale"];
  if (layout.coloraxis) layout.coloraxis = { ...layout.coloraxis, colorscale };
  if (coarse.matches) layout.dragmode = false; /* a finger scrolls the page */
  if (printing) Object.assign(layout, { width: PAPER, autosize: false });
  return { data: figure.data, layout };
}

function current(id) {
  const choices = figures[id].choices;
  const select = document.querySelector(`select[data-for="${id}"]`);
  return (select && choices[select.value]) ?? Object.values(choices)[0];
}

function drawNow(id) {
  const element = document.getElementById(id);
  if (!element || !figures[id] || element.closest("[hidden]")) return undefined;
  const options = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false, // it would cover the legend; a double click resets the zoom
  };
  const look = printing ? "paper" : root.dataset.theme;
  if (element.dataset.look !== look && element.data?.[0]?.type === "parcoords") purge(element); /* for its colours */
  element.dataset.look = look;
  try {
    const { data, layout } = marks.reduce((figure, mark) => mark(figure, id), structuredClone(themed(current(id))));
    const drawn = Plotly.react(element, data, layout, options);
    if (!element.dataset.listened) {
      element.dataset.listened = "yes";
      for (const listener of listeners) listener(element, id);
    }
    return drawn;
  } catch (error) {
    element.textContent = "This browser cannot draw this chart.";
    console.warn(error);
    return undefined;
  }
}

/* The chart begins anew when it is drawn next. */
function purge(element) {
  Plotly.purge(element);
  delete element.dataset.listened;
}

const draw = (id) => ready.then(() => drawNow(id));

let drawing = 0; /* a later round of drawing takes the place of one that has not ended */
async function drawAll() {
  const mine = ++drawing;
  await ready;
  for (const id of Object.keys(figures)) {
    await drawNow(id);
    await new Promise((resolve) => setTimeout(resolve));
    if (mine !== drawing) return;
  }
  root.dataset.drawn = root.dataset.theme; /* for tests: everything is drawn in this theme */
}

/* -- theme -- */

const button = document.getElementById("theme");

function setTheme(chosenTheme) {
  root.dataset.theme = chosenTheme;
  button.textContent = chosenTheme === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to the ${chosenTheme === "dark" ? "light" : "dark"} theme`);
}

let chosen = null;
try { chosen = localStorage.getItem("keras-optims-theme"); } catch { /* storage is off */ }
setTheme(root.dataset.theme);
button.addEventListener("click", () => {
  chosen = root.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("keras-optims-theme", chosen); } catch { /* storage is off */ }
  setTheme(chosen);
  drawAll();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  if (chosen) return;
  setTheme(event.matches ? "dark" : "light");
  drawAll();
});

/* On paper everything is light, and as wide as paper. */
function onPaper(begins) {
  if (!window.Plotly) return;
  printing = begins;
  if (!begins) document.querySelectorAll(".plot").forEach(purge); /* they have the width of paper */
  for (const id of Object.keys(figures)) drawNow(id);
}
addEventListener("beforeprint", () => onPaper(true));
addEventListener("afterprint", () => onPaper(false));

/* -- the list of sections, tables, copying -- */

function listSections() {
  const links = [...document.querySelectorAll("main section")].map((section) => {
    const item = document.createElement("li");
    const link = item.appendChild(document.createElement("a"));
    link.href = `#${section.id}`;
    link.textContent = section.querySelector("h2").textContent;
    return item;
  });
  document.getElementById("sections").replaceChildren(...links);
}

function sortBy(table, column, descending) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => {
    if (i === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  const keyOf = (row) => row.cells[column].dataset.key;
  const compare = (one, other) => {
    if (one === undefined || other === undefined) return (one === undefined) - (other === undefined); /* empty ones last */
    const difference = Number(one) - Number(other);
    const order = Number.isNaN(difference) ? one.localeCompare(other) : difference;
    return descending ? -order : order;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((one, other) => compare(keyOf(one), keyOf(other))));
}

/* A table that is higher than its frame ends with a whole row, and what is wider than its frame says so. */
function fit() {
  for (const frame of document.querySelectorAll(".scroll.table")) {
    frame.style.maxHeight = "";
    const most = parseFloat(getComputedStyle(frame).maxHeight);
    if (!Number.isFinite(most) || frame.scrollHeight <= most) continue;
    const top = frame.getBoundingClientRect().top - frame.scrollTop;
    const ends = [...frame.querySelectorAll("tbody tr")].map((row) => row.getBoundingClientRect().bottom - top);
    const bar = frame.offsetHeight - frame.clientHeight - 2;
    const last = ends.filter((end) => end + bar <= most).pop();
    if (last) frame.style.maxHeight = `${last + bar + 1}px`;
  }
  for (const frame of document.querySelectorAll(".scroll.sideways")) {
    const hint = frame.parentElement.querySelector(".hint");
    if (hint) hint.hidden = frame.scrollWidth <= frame.clientWidth + 1;
  }
}
addEventListener("resize", fit);

document.addEventListener("click", async (event) => {
  const head = event.target.closest("table.sortable thead button");
  if (head) {
    const cell = head.closest("th");
    sortBy(head.closest("table"), cell.cellIndex, cell.getAttribute("aria-sort") === "ascending");
  }
  const copier = event.target.closest("button.copy");
  if (!copier) return;
  await copy(copier.parentElement.querySelector("code").textContent);
  copier.textContent = "Copied";
  setTimeout(() => { copier.textContent = "Copy"; }, 1500);
});

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { /* a page from a file may have no clipboard */
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-for]")) draw(event.target.dataset.for);
});

for (const select of document.querySelectorAll("select[data-for]")) select.selectedIndex = 0;
listSections();
fit();
drawAll();
