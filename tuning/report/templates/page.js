"use strict";

const figures = JSON.parse(document.getElementById("figures").textContent);
const root = document.documentElement;
const coarse = matchMedia("(pointer: coarse), (max-width: 600px)");

/* plotly.js, which is most of this file, is compressed; its hash lets it in. */
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

const plotly = unpacked("plotly").then((text) => {
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
});

/* The colours of a chart that depend on the theme. The scale is viridis without the end that the ground would swallow, so
   that the best scores stand out on either. */
const viridis = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const scale = (colours) => colours.map((colour, i) => [i / (colours.length - 1), colour]);
const themes = { /* quiet: of a map under coloured lines, from the lowest loss to the highest */
  light: { text: "#1b1f24", grid: "#e1e5ea", card: "#ffffff", scale: scale(viridis.slice(0, 9).reverse()), quiet: scale(["#ffffff", "#dfe3e8", "#b9c1cc", "#8f9aa8"]) },
  dark: { text: "#e6e9ee", grid: "#2b323c", card: "#171b22", scale: scale(viridis.slice(2)), quiet: scale(["#0d1015", "#1d232c", "#323b48", "#4a5666"]) },
};

function themed(figure) {
  const theme = themes[root.dataset.theme];
  const axis = { gridcolor: theme.grid, linecolor: theme.grid, zerolinecolor: theme.grid };
  const template = {
    layout: {
      font: { color: theme.text, family: getComputedStyle(document.body).fontFamily, size: 13 },
      paper_bgcolor: theme.card,
      plot_bgcolor: theme.card,
      xaxis: { ...axis, title: { font: { size: 13 } } },
      yaxis: { ...axis, title: { font: { size: 13 } }, automargin: true },
      hoverlabel: { bgcolor: theme.card, bordercolor: theme.grid, font: { color: theme.text }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "#8a8f98", activecolor: theme.text },
    },
  };
  const layout = { ...figure.layout, template };
  const colorscale = theme[layout.meta?.scale ?? "scale"];
  if (layout.coloraxis) layout.coloraxis = { ...layout.coloraxis, colorscale };
  if (coarse.matches) layout.dragmode = false; /* a finger scrolls the page */
  return [figure.data, layout];
}

function current(id) {
  const choices = figures[id].choices;
  const select = document.querySelector(`select[data-for="${id}"]`);
  return select ? Object.values(choices)[select.selectedIndex] : Object.values(choices)[0];
}

function draw(id) {
  const options = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false, // it would cover the legend; a double click resets the zoom
  };
  const element = document.getElementById(id);
  return plotly.then(() => Plotly.react(element, ...structuredClone(themed(current(id))), options)).catch(() => {
    element.textContent = "This browser cannot draw this chart.";
  });
}

async function drawAll() {
  for (const id of Object.keys(figures)) {
    await draw(id);
    await new Promise((resolve) => setTimeout(resolve));
  }
  root.dataset.drawn = root.dataset.theme; /* for tests: everything is drawn in this theme */
}

/* -- theme -- */

const button = document.getElementById("theme");

function setTheme(theme) {
  root.dataset.theme = theme;
  button.textContent = theme === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to the ${theme === "dark" ? "light" : "dark"} theme`);
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

/* -- the list of sections, tables, copying -- */

for (const section of document.querySelectorAll("main section")) {
  const link = document.createElement("a");
  link.href = `#${section.id}`;
  link.textContent = section.querySelector("h2").textContent;
  document.getElementById("sections").appendChild(document.createElement("li")).appendChild(link);
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const descending = heads[column].getAttribute("aria-sort") === "ascending";
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

for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead button").forEach((head, column) => head.addEventListener("click", () => sortBy(table, column)));
}

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

for (const copier of document.querySelectorAll("button.copy")) {
  copier.addEventListener("click", async () => {
    await copy(copier.parentElement.querySelector("code").textContent);
    copier.textContent = "Copied";
    setTimeout(() => { copier.textContent = "Copy"; }, 1500);
  });
}

for (const select of document.querySelectorAll("select[data-for]")) {
  select.selectedIndex = 0;
  select.addEventListener("change", () => draw(select.dataset.for));
}

drawAll();
