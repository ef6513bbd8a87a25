"use strict";

/* The page of a trial, at #trial-0.17: search 0 of this page, trial 17. */

const article = document.getElementById("trial");
const more = {}; /* key of a trial -> its whole curves, where a server has them */

function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function tableOf(caption, heads, rows) {
  const cells = (tag, texts) => texts.map((text) => made(tag, tag === "th" ? { scope: "col" } : {}, text ?? ""));
  return made("div", { className: "scroll table", tabIndex: 0 }, made("table", {},
    made("caption", { textContent: caption }),
    made("thead", {}, made("tr", {}, ...cells("th", heads))),
    made("tbody", {}, ...rows.map((row) => made("tr", {}, ...cells("td", row))))));
}

function codeOf(text, label) {
  const copier = made("button", { type: "button", className: "copy", textContent: "Copy" });
  copier.setAttribute("aria-label", `Copy ${label}`);
  return made("div", { className: "code" }, made("pre", { tabIndex: 0 }, made("code", { textContent: text })), copier);
}

const pairsOf = (pairs) => made("dl", {}, ...pairs.filter(([, value]) => value !== undefined && value !== "" && value !== null)
  .map(([name, value]) => made("div", {}, made("dt", { textContent: name }), made("dd", {}, value))));

const section = (title, ...children) => made("section", {}, made("h2", { textContent: title }), ...children);

function linkTo(index, number, text) {
  return made("a", { href: `#trial-${index}.${number}`, textContent: text });
}

/* A curve of each training; the values are those after epochs 1, 1 + step, ... and the last one. */
function figureOf(search, trial, metric, curves, step) {
  const data = curves.map(([length, values], i) => ({
    type: "scatter",
    mode: values.length > 30 ? "lines" : "lines+markers",
    name: `training ${i + 1}`,
    x: values.map((_, k) => Math.min(1 + k * step, length)),
    y: values,
    line: { width: 2, color: ["#2a7fc1", "#d9660a", "#0c9d74", "#c4689c", "#a8801a", "#3aa3d8"][i % 6], dash: ["solid", "dash", "dot", "dashdot"][i % 4] },
    hovertemplate: "epoch %{x}: %{y}<extra></extra>",
  }));
  const positive = data.flatMap((trace) => trace.y).filter((value) => value !== null);
  const wide = positive.length && Math.min(...positive) > 0 && Math.max(...positive) > 50 * Math.min(...positive);
  const longest = Math.max(...curves.map(([length]) => length));
  return {
    data,
    layout: {
      height: 380, margin: { l: 64, r: 14, t: 14, b: 52 }, hovermode: "closest", showlegend: data.length > 1,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left" },
      xaxis: { title: { text: "epoch" }, zeroline: false, ...(longest <= 12 ? { dtick: 1 } : {}), range: longest > 1 ? [0.8, longest + 0.2] : [0.5, 1.5] },
      yaxis: { title: { text: search.metrics[metric] + (wide ? " (log)" : "") }, zeroline: false, ...(wide ? { type: "log" } : {}) },
    },
  };
}

function curvesOf(search, trial, key) {
  const whole = more[key];
  const curves = whole ?? trial.curves ?? {};
  const metrics = Object.keys(search.metrics).filter((metric) => curves[metric]);
  if (!metrics.length) return section("Learning curve", made("p", { textContent: "No epoch has ended." }));
  const step = whole ? 1 : search.step;
  const id = "chart-of-trial";
  figures[id] = { choices: Object.fromEntries(metrics.map((metric) => [metric, figureOf(search, trial, metric, curves[metric], step)])) };
  const before = document.querySelector(`select[data-for="${id}"]`)?.value;
  const select = made("select", { id: `${id}-choice` }, ...metrics.map((metric) => made("option", { textContent: metric })));
  select.dataset.for = id;
  if (metrics.includes(before)) select.value = before;
  const note = step > 1 ? ` Of so many epochs every ${step}th is in this file; all of them are in its store.` : "";
  const plot = made("div", { id, className: "plot" });
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", "The metric after each epoch of each training");
  return section("Learning curve",
    made("p", { className: "choice", hidden: metrics.length < 2 }, made("label", { htmlFor: select.id, textContent: "Metric" }), select),
    made("figure", {}, made("div", { className: "scroll" }, plot),
      made("figcaption", { textContent: `The metric after each epoch of each training.${note}` })));
}

function found() {
  const match = /^#trial-(\d+)\.(\d+)$/.exec(location.hash);
  if (!match) return null;
  const [index, number] = match.slice(1).map(Number);
  const trial = searches[index]?.trials.find((each) => each.number === number);
  return trial ? { index, trial, search: searches[index], key: `${index}.${number}` } : null;
}

function heading({ index, trial, search }) {
  const numbers = search.trials.map((each) => each.number);
  const at = numbers.indexOf(trial.number);
  const state = made("span", { className: trial.state, textContent: trial.state });
  return made("section", {},
    made("h2", {}, `Trial ${trial.number}`, ...(searches.length > 1 ? [` of ${search.name}`] : [])),
    made("p", { className: "score" }, made("strong", {}, trial.score ? `${search.objective} ${trial.score} ` : ""), state,
      trial.rank ? `, rank ${trial.rank}` : ""),
    made("p", { className: "ways" }, made("a", { href: "#content", textContent: "← All trials" }),
      at > 0 ? linkTo(index, numbers[at - 1], "Previous") : null,
      at + 1 < numbers.length ? linkTo(index, numbers[at + 1], "Next") : null));
}

let shown = null; /* the key of the trial whose page is shown */
let place = 0; /* where the reader was before */

function showTrial(refresh = false) {
  const here = found();
  document.querySelector("main").hidden = Boolean(here);
  document.querySelector("nav").hidden = Boolean(here);
  article.hidden = !here;
  if (!here) {
    if (shown) {
      delete figures["chart-of-trial"];
      article.replaceChildren();
      shown = null;
      fit();
      drawAll();
      if (location.hash === "#content" || !location.hash) scrollTo(0, place);
      else document.getElementById(location.hash.slice(1))?.scrollIntoView();
    }
    return;
  }
  const { index, trial, search, key } = here;
  const opening = shown !== key;
  shown = key;
  const settings = search.axes.map((label, i) => [label, trial.values?.[i]]).filter(([, value]) => value !== undefined && value !== null);
  article.replaceChildren(
    heading(here),
    section("Setting", codeOf(trial.line, "the setting"), pairsOf(settings)),
    ...(trial.message || trial.traceback ? [section("Error", trial.message ? made("p", { className: "notice", textContent: trial.message }) : null,
      trial.traceback ? made("pre", { className: "traceback", tabIndex: 0, textContent: trial.traceback }) : null)] : []),
    curvesOf(search, trial, key),
    ...(trial.again ? [section("Run it again", made("p", { textContent: "In a fresh Python:" }), codeOf(trial.again, "the code"))] : []),
    section("Trainings and machine",
      ...(trial.trainings ? [tableOf("Each training of this trial.", ["training", "seed", search.objective, "best epoch", "seconds"],
        trial.trainings.map((training, i) => [`${i + 1}`, ...training.map((value) => (value === null ? "" : `${value}`))]))] : []),
      pairsOf([["epochs", trial.epochs], ["begun", trial.begun], ["took", trial.seconds],
        ["continues", trial.continues === undefined ? null : linkTo(index, trial.continues, `trial ${trial.continues}`)], ...search.facts])),
  );
  draw("chart-of-trial");
  if (opening) {
    scrollTo(0, 0);
    if (window.fetchCurves) fetchCurves(key).then((curves) => { if (curves && shown === key) { more[key] = curves; showTrial(true); } });
  }
}

addEventListener("click", (event) => {
  if (event.target.closest?.('a[href^="#trial-"]') && !shown) place = scrollY;
}, true);
addEventListener("hashchange", () => showTrial());
ready.then(() => showTrial());
