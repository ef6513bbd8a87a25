"use strict";

/* Draws the runs that the sliders choose. It computes nothing: each run was made when the page was written. */

const runs = JSON.parse(document.getElementById("runs").textContent);
const points = runs.steps + 1;
const time = document.getElementById("time");
const form = document.getElementById("settings");
const [mapFigure, lossFigure] = ["chart-1", "chart-2"].map((id) => Object.values(figures[id].choices)[0]);
const contours = mapFigure.data[0];
const heightOfMap = mapFigure.layout.height;
const narrow = matchMedia("(max-width: 800px)");

function floats(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

for (const contestant of runs.contestants) {
  contestant.weights = floats(contestant.weights);
  contestant.losses = floats(contestant.losses);
}

const slidersOf = (number) => [...form.querySelectorAll(`input[type="range"][data-contestant="${number}"]`)];
const isShown = (number) => form.querySelector(`input[type="checkbox"][data-contestant="${number}"]`).checked;

/* The number of the run that a contestant's sliders choose; the last slider's positions change fastest. */
function chosenRun(number) {
  return slidersOf(number).reduce((run, slider) => run * (Number(slider.max) + 1) + Number(slider.value), 0);
}

function name(contestant, number) {
  const set = contestant.sliders.map((slider, i) => `${slider.symbol}=${slider.texts[slidersOf(number)[i].value]}`);
  return `${contestant.title} (${[...set, ...contestant.others].join(", ")})`;
}

function traces(contestant, number) {
  const run = chosenRun(number);
  const look = runs.looks[number];
  const shown = Math.min(Number(time.value) + 1, contestant.drawn[run]);
  const weights = contestant.weights.subarray(2 * points * run, 2 * (points * run + shown));
  const losses = [...contestant.losses.subarray(points * run, points * run + Number(time.value) + 1)];
  const x = [...weights].filter((_, i) => i % 2 === 0);
  const y = [...weights].filter((_, i) => i % 2 === 1);
  const steps = [...losses.keys()];
  const common = {
    type: "scatter",
    name: name(contestant, number),
    mode: "lines+markers",
    line: { color: look.colour, dash: look.dash, width: 2.2 },
    marker: { color: look.colour, symbol: look.symbol, size: 7, maxdisplayed: 14 },
  };
  const hover = "step %{customdata[0]}: loss %{customdata[1]:.4g}";
  return {
    map: [
      { ...common, x, y, name: [common.name, contestant.notes[run]].filter(Boolean).join(": "), showlegend: true, customdata: x.map((_, i) => [i, losses[i]]),
        hovertemplate: `${hover}<br>θ₁ %{x:.4g}, θ₂ %{y:.4g}<extra>${contestant.title}</extra>` },
      { type: "scatter", mode: "markers", x: x.slice(-1), y: y.slice(-1), showlegend: false, hoverinfo: "skip",
        marker: { color: look.colour, symbol: look.symbol, size: 12, line: { width: 1.5, color: "#ffffff" } } },
    ],
    loss: { ...common, x: steps, y: losses, showlegend: true, customdata: steps.map((i) => [i, losses[i]]),
      hovertemplate: `${hover}<extra>${contestant.title}</extra>` },
  };
}

function choose() {
  for (const slider of form.querySelectorAll('input[type="range"][data-contestant]')) {
    const [, number, position] = slider.id.split("-").map(Number);
    const text = runs.contestants[number].sliders[position].texts[slider.value];
    slider.nextElementSibling.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  }
  for (const [number, contestant] of runs.contestants.entries()) {
    const note = form.querySelector(`[data-note="${number}"]`);
    note.textContent = contestant.notes[chosenRun(number)] ?? "";
    note.hidden = !note.textContent;
  }
  time.nextElementSibling.textContent = time.value;
  const drawn = runs.contestants.map((contestant, number) => [contestant, number]).filter(([, number]) => isShown(number));
  const all = drawn.map(([contestant, number]) => traces(contestant, number));
  mapFigure.data = [contours, ...all.flatMap((one) => one.map)];
  lossFigure.data = all.map((one) => one.loss);
  lossFigure.layout.showlegend = true;
  mapFigure.layout.showlegend = !narrow.matches; /* there the map stays in sight, and the settings below it are its legend */
  mapFigure.layout.height = narrow.matches ? 340 : heightOfMap;
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(async () => {
    waiting = false;
    choose();
    await Promise.all([draw("chart-1"), draw("chart-2")]);
    root.dataset.redrawn = Number(root.dataset.redrawn ?? 0) + 1; /* for tests */
  });
}

form.addEventListener("input", (event) => {
  if (event.target === time) stop();
  redraw();
});
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("reset").addEventListener("click", () => {
  for (const slider of form.querySelectorAll("input[data-start]")) slider.value = slider.dataset.start;
  for (const box of form.querySelectorAll('input[type="checkbox"]')) box.checked = true;
  stop();
  time.value = runs.steps;
  redraw();
});

narrow.addEventListener("change", redraw);

/* -- playing the steps in some seconds -- */

const play = document.getElementById("play");
const duration = 5000; /* ms */
let playing = null;

function stop() {
  playing = null;
  play.textContent = "Play";
}

play.addEventListener("click", () => {
  if (playing) return stop();
  const first = Number(time.value) >= runs.steps ? 0 : Number(time.value);
  const began = performance.now() - (first / runs.steps) * duration;
  const mine = {};
  playing = mine;
  play.textContent = "Pause";
  const frame = (now) => {
    if (playing !== mine) return;
    time.value = Math.min(runs.steps, Math.max(0, Math.round(((now - began) / duration) * runs.steps)));
    redraw();
    if (Number(time.value) >= runs.steps) stop();
    else requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
});

redraw();
