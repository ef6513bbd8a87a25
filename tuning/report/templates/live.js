"use strict";

/* The page that a server renews: what has changed takes the place of what was there, and nothing that the reader did is lost. */

const EVERY = 1000; /* ms */
const HIDDEN = 10000; /* ms, of a page that nobody sees */
const status = document.getElementById("status");
const bodies = new Map(); /* id of a section -> its HTML, as the server made it */
let tag = null;
let first = null; /* the data that the page began with */
let said = null;

async function fetchData() {
  const response = await fetch("data.json", { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
  if (response.status === 304) return null;
  if (!response.ok) throw new Error(await response.text());
  const data = await response.json();
  tag = response.headers.get("ETag");
  return data;
}

async function loadFirst() {
  first = await fetchData();
  take(first);
}

async function fetchCurves(key) {
  const response = await fetch(`curves/${key.replace(".", "/")}.json`, { cache: "no-store" }).catch(() => null);
  return response?.ok ? response.json() : null;
}

function sectionsOf(html) {
  const page = new DOMParser().parseFromString(`<main>${html}</main>`, "text/html");
  return page.querySelector("main");
}

/* What the reader did in a section: how tables are sorted and scrolled, what is open, which metric is chosen. */
function remember(place) {
  return {
    tables: [...place.querySelectorAll(".scroll.table")].map((frame) => {
      const sorted = frame.querySelector("th[aria-sort]");
      return [frame.scrollTop, frame.scrollLeft, sorted?.cellIndex, sorted?.getAttribute("aria-sort") === "descending"];
    }),
    open: [...place.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent),
    selects: [...place.querySelectorAll("select[data-for]")].map((select) => [select.dataset.for, select.value]),
    plots: [...place.querySelectorAll(".plot")],
    focus: place.contains(document.activeElement) ? document.activeElement.dataset?.trial : null,
  };
}

function restore(place, { tables, open, selects, plots, focus }) {
  for (const plot of plots) { /* the chart itself goes on, with its zoom */
    const fresh = place.querySelector(`#${CSS.escape(plot.id)}`);
    if (!fresh) continue;
    plot.setAttribute("aria-label", fresh.getAttribute("aria-label"));
    plot.style.minWidth = fresh.style.minWidth;
    fresh.replaceWith(plot);
  }
  [...place.querySelectorAll(".scroll.table")].forEach((frame, i) => {
    const [top, left, column, descending] = tables[i] ?? [];
    if (column !== undefined && frame.querySelector("table.sortable")) sortBy(frame.querySelector("table"), column, descending);
    frame.scrollTop = top ?? 0;
    frame.scrollLeft = left ?? 0;
  });
  for (const summary of place.querySelectorAll("summary")) if (open.includes(summary.textContent)) summary.parentElement.open = true;
  for (const [id, value] of selects) {
    const select = place.querySelector(`select[data-for="${id}"]`);
    if (select && [...select.options].some((option) => option.value === value)) select.value = value;
  }
  if (focus) place.querySelector(`tr[data-trial="${focus}"]`)?.focus({ preventScroll: true });
}

/* One part after the other, so that those that are as they were stay as they are. */
function renew(html) {
  const main = document.querySelector("main");
  const fresh = sectionsOf(html);
  const selection = getSelection();
  const parts = (place) => [...place.querySelectorAll("section[id]")];
  const alike = parts(main).map((part) => part.id).join() === parts(fresh).map((part) => part.id).join();
  if (!alike) {
    const states = new Map(parts(main).map((part) => [part.id, remember(part)]));
    for (const part of parts(fresh)) bodies.set(part.id, part.innerHTML);
    main.replaceChildren(...fresh.childNodes);
    for (const part of parts(main)) if (states.has(part.id)) restore(part, states.get(part.id));
    return;
  }
  for (const part of parts(fresh)) {
    const old = document.getElementById(part.id);
    if (bodies.get(part.id) === part.innerHTML) continue;
    if (!selection.isCollapsed && old.contains(selection.anchorNode)) continue; /* somebody marks a text there */
    bodies.set(part.id, part.innerHTML);
    const state = remember(old);
    old.replaceChildren(...part.childNodes);
    restore(old, state);
  }
}

function sayState(connected) {
  const wanted = searches.every((search) => search.wanted) ? searches.reduce((sum, search) => sum + search.wanted, 0) : null;
  const ended = searches.reduce((sum, search) => sum + search.ended, 0);
  const running = searches.some((search) => search.running);
  const dot = Object.assign(document.createElement("span"), { className: `dot${running && connected ? " running" : ""}` });
  const words = !connected ? "The command that served this page has ended: this is how it was last."
    : `${running ? "Running" : "Not running"}: ${ended}${wanted ? ` of ${wanted}` : ""} ${ended === 1 && !wanted ? "trial has" : "trials have"} ended`;
  const parts = [dot, words];
  if (wanted && connected) parts.push(Object.assign(document.createElement("progress"), { max: wanted, value: Math.min(ended, wanted) }));
  const now = words + (wanted ?? "");
  if (now === said) return;
  said = now;
  status.replaceChildren(...parts);
  status.hidden = false;
}

function use(data) {
  take(data);
  for (const key of Object.keys(more)) if (key !== shown) delete more[key];
  document.title = `${data.title} · keras-optims`;
  document.querySelector("h1").textContent = data.title;
  document.getElementById("subtitle").innerHTML = data.subtitle; /* escaped by the server */
  say(data.trouble);
  renew(data.body);
  listSections();
  reachRows();
  if (shown) refreshTrial();
  else fit();
  drawAll();
}

async function refreshTrial() {
  const key = shown;
  const curves = await fetchCurves(key);
  if (curves) more[key] = curves;
  if (shown === key) showTrial(true);
}

async function follow() {
  for (;;) {
    await new Promise((resolve) => {
      setTimeout(resolve, document.hidden ? HIDDEN : EVERY);
      document.addEventListener("visibilitychange", resolve, { once: true });
    });
    try {
      const data = await fetchData();
      if (data) use(data);
      sayState(true);
    } catch {
      sayState(false);
    }
    root.dataset.looked = Number(root.dataset.looked ?? 0) + 1; /* for tests */
  }
}

ready.then(() => { use(first); sayState(true); follow(); });
