"use strict";

/* Trials that the reader chooses, in any chart or table, are highlighted in all of them. A trial is known by its key,
   the number of its search on the page and its own: "0.17". */

const chosenTrials = new Set();
const bar = document.getElementById("chosen");

const keysOf = (trace) => (trace.customdata ?? []).map((number) => (number === null ? null : `${trace.meta ?? 0}.${number}`));

function choose(keys, more = false) {
  const before = [...chosenTrials].join();
  const all = [...new Set(keys)].filter(Boolean);
  if (!more) chosenTrials.clear();
  const toggled = more && all.length === 1 && chosenTrials.has(all[0]); /* the same trial once more takes it out again */
  for (const key of all) toggled ? chosenTrials.delete(key) : chosenTrials.add(key);
  if ([...chosenTrials].join() !== before) showChosen();
}

function showChosen() {
  rounds += 1;
  markRows();
  const keys = [...chosenTrials].sort((one, other) => one.localeCompare(other, undefined, { numeric: true }));
  bar.hidden = !keys.length;
  const words = document.createElement("span");
  words.append(`${keys.length} ${keys.length === 1 ? "trial" : "trials"} chosen: `);
  keys.slice(0, 12).forEach((key, i) => {
    const link = document.createElement("a");
    link.href = `#trial-${key}`;
    link.textContent = searches.length > 1 ? `${key.split(".")[1]} (${searches[key.split(".")[0]]?.name})` : key.split(".")[1];
    words.append(i ? ", " : "", link);
  });
  if (keys.length > 12) words.append(", …");
  const clear = document.createElement("button");
  clear.type = "button";
  clear.textContent = "Clear (Esc)";
  clear.addEventListener("click", clearChosen);
  bar.replaceChildren(words, clear);
  drawAll();
}

function clearChosen() {
  unbrush();
  chosenTrials.clear();
  showChosen();
}

/* Takes the ranges from the parallel coordinates. Plotly would keep them when it draws the chart again, so it begins anew. */
function unbrush() {
  if (!brushed) return;
  for (const figure of Object.values(figures[brushed]?.choices ?? {})) {
    for (const dimension of figure.data[0].dimensions ?? []) delete dimension.constraintrange;
  }
  const plot = document.getElementById(brushed);
  brushed = null;
  if (plot) purge(plot);
}

function markRows() {
  for (const row of document.querySelectorAll("tr[data-trial]")) {
    row.setAttribute("aria-selected", chosenTrials.has(row.dataset.trial));
  }
}

/* -- how charts show it -- */

let brushed = null; /* the id of the parallel coordinates in which trials were chosen: there Plotly shows it itself */

let rounds = 0; /* of choosing: with each of them Plotly forgets the box that was drawn in a scatter */

marks.push((figure, id) => {
  if (!figure.data.some((trace) => trace.customdata)) return figure;
  if (figure.data[0].type === "parcoords") return { ...figure, data: figure.data.map((trace) => parallel(trace, figure.layout, id === brushed)) };
  const layout = { ...figure.layout, selections: [], selectionrevision: rounds };
  if (figure.data.some((trace) => trace.customdata && trace.mode === "markers")) layout.dragmode ??= "select";
  if (!chosenTrials.size) return { ...figure, layout };
  const data = figure.data.flatMap((trace) => {
    if (!trace.customdata) return [{ ...trace, opacity: 0.35 }];
    if (trace.mode?.includes("lines")) return lines(trace);
    return [points(trace)];
  });
  return { data, layout };
});

function points(trace) {
  const indices = keysOf(trace).flatMap((key, i) => (chosenTrials.has(key) ? [i] : []));
  const faded = { ...trace, selectedpoints: indices, selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: 0.12 } } };
  if (trace.error_y?.array) {
    const only = new Set(indices);
    faded.error_y = { ...trace.error_y, array: trace.error_y.array.map((value, i) => (only.has(i) ? value : NaN)) };
  }
  return faded;
}

/* The curves of many trials are one trace with gaps: those that are chosen become a trace of their own. */
function lines(trace) {
  const keys = keysOf(trace);
  const isChosen = (i) => chosenTrials.has(keys[i]) || (keys[i] === null && i > 0 && chosenTrials.has(keys[i - 1]));
  const of = (wanted) => {
    const kept = [...keys.keys()].filter((i) => isChosen(i) === wanted);
    const picked = (values) => (Array.isArray(values) ? kept.map((i) => values[i]) : values);
    return { ...trace, x: picked(trace.x), y: picked(trace.y), customdata: picked(trace.customdata), text: picked(trace.text) };
  };
  if (!keys.includes(null)) return [chosenTrials.has(keys[0]) ? { ...trace, opacity: 1 } : { ...trace, opacity: 0.15 }];
  const dim = { ...of(false), opacity: 0.12 };
  const strong = { ...of(true), opacity: 1, showlegend: false, line: { ...trace.line, width: 2.5, color: theme().strong } };
  return strong.x.length ? [dim, strong] : [dim];
}

/* Plotly never renews the colour scale of parallel coordinates, so that one scale has both what is chosen and what is not. */
function parallel(trace, layout, brushes) {
  const { cmin, cmax, reversescale, colorscale } = layout.coloraxis;
  const keys = keysOf(trace);
  const all = brushes || !chosenTrials.size; /* the brush is shown by Plotly itself */
  const isChosen = keys.map((key) => all || chosenTrials.has(key));
  const order = [...keys.keys()].sort((i, j) => isChosen[i] - isChosen[j] || i - j);
  const place = (score) => Math.min(1, Math.max(0, reversescale ? (cmax - score) / (cmax - cmin) : (score - cmin) / (cmax - cmin)));
  return {
    ...trace,
    customdata: order.map((i) => trace.customdata[i]),
    dimensions: trace.dimensions.map((dimension) => ({ ...dimension, values: order.map((i) => dimension.values[i]) })),
    line: { /* below 0 what is not chosen */
      color: order.map((i) => (isChosen[i] ? place(trace.line.color[i]) : -1)),
      cmin: -1, cmax: 1, showscale: false,
      colorscale: [[0, theme().faint], [0.499, theme().faint], ...colorscale.map(([at, colour]) => [0.5 + at / 2, colour])],
    },
  };
}

/* -- how one chooses -- */

listeners.push((element, id) => {
  const pointed = (event) => (event?.points ?? []).map((point) => keysOf(point.fullData)[point.pointNumber ?? point.pointIndex]);
  element.on("plotly_click", (event) => {
    const keys = pointed(event).filter(Boolean);
    if (!keys.length) return;
    unbrush();
    choose(keys.slice(0, 1), event.event?.shiftKey || event.event?.ctrlKey || event.event?.metaKey);
  });
  element.on("plotly_selected", (event) => {
    const drawn = event?.range || event?.lassoPoints; /* Plotly tells of itself, too, when it draws */
    if (!drawn) return;
    unbrush();
    if (event.points.length) choose(pointed(event));
    else clearChosen();
  });
  element.on("plotly_restyle", () => {
    const trace = element.data?.[0];
    if (trace?.type !== "parcoords") return;
    const ranges = trace.dimensions.map((dimension) => [dimension.values, dimension.constraintrange]).filter(([, range]) => range);
    if (!ranges.length) return brushed === id ? clearChosen() : undefined;
    const within = (value, range) => (Array.isArray(range[0]) ? range : [range]).some(([low, high]) => low <= value && value <= high);
    const keys = keysOf(trace).filter((_, i) => ranges.every(([values, range]) => within(values[i], range)));
    if (brushed !== id) unbrush();
    brushed = id;
    keep(element, id);
    return choose(keys);
  });
});

/* The ranges that the reader set are in the chart's own figure from now on, so that drawing it again keeps them. */
function keep(element, id) {
  const own = current(id).data[0];
  element.data[0].dimensions.forEach((dimension, i) => {
    if (dimension.constraintrange) own.dimensions[i].constraintrange = dimension.constraintrange;
    else delete own.dimensions[i].constraintrange;
  });
}

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-trial]");
  if (!row || event.target.closest("a, button") || !getSelection().isCollapsed) return;
  unbrush();
  choose([row.dataset.trial], event.ctrlKey || event.metaKey || event.shiftKey);
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosenTrials.size) clearChosen();
  const row = event.target.closest?.("tr[data-trial]");
  if (!row || event.target !== row) return;
  const move = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
  if (move) move.focus();
  else if (event.key === " " || event.key === "Enter") unbrush(), choose([row.dataset.trial], event.ctrlKey || event.shiftKey);
  else return;
  event.preventDefault();
});

/* The keyboard reaches the first row of a table, and from there the others by the arrows. */
function reachRows() {
  for (const row of document.querySelectorAll("tr[data-trial]")) row.tabIndex = row.previousElementSibling ? -1 : 0;
  markRows();
}
reachRows();
