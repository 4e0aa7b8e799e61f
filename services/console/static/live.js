import { follow } from "./stream.js";

const body = document.body;
const chip = document.getElementById("freshness");
const spoken = document.getElementById("freshness-spoken");
const held = new Map();
const shown = new Map();
let skew = Date.parse(body.dataset.now) - Date.now();
let state = "connecting", asOf = body.dataset.now, evidence = null;
let fetching = null, again = false, stale = false, submitted = false;

function show(name, words, speak) {
  if (chip.dataset.state !== name) spoken.textContent = speak;
  chip.dataset.state = name;
  body.dataset.freshness = name;
  chip.querySelector(".chip-text").textContent = words;
}

const clock = (time) => new Date(time).toISOString().slice(11, 19);

function age(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function freshness() {
  if (state === "connecting") return;
  if (state === "reconnecting") {
    show("reconnecting", `Reconnecting, as of ${clock(asOf)}`, "Reconnecting. The page shows old data.");
    return;
  }
  const old = evidence ? (Date.now() + skew - Date.parse(evidence.at)) / 1000 : 0;
  if (!evidence) show("live", "Live", "Live");
  else if (old <= evidence.late_s) show("live", `Live, evidence ${age(old)} old`, "Live");
  else show("silent", `No telemetry since ${clock(evidence.at)}, ${evidence.then} at ${clock(evidence.due)}`, "No telemetry");
}

async function refresh() {
  if (!body.dataset.parts || submitted) return;
  if (document.hidden) { stale = true; return; }
  if (fetching) { again = true; return; }
  const ours = fetching = new AbortController();
  const patience = setTimeout(() => ours.abort(), 8000);
  try {
    const answer = await fetch(body.dataset.parts, { signal: ours.signal, headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    take(await answer.json());
  } catch {
    if (!submitted) { state = "reconnecting"; setTimeout(refresh, 2000); }
  } finally {
    clearTimeout(patience);
    fetching = null;
    freshness();
    if (again) { again = false; setTimeout(refresh, 500); }
  }
}

function take(page) {
  // What the server rendered a moment ago needs no drawing again: it would move what is under the pointer.
  const unchanged = shown.size === 0 && String(page.seq) === body.dataset.seq;
  for (const [id, html] of Object.entries(page.parts)) {
    if (!unchanged && shown.get(id) !== html) put(id, html);
    shown.set(id, html);
  }
  document.title = `${page.title} · Penstock`;
  skew = Date.parse(page.now) - Date.now();
  asOf = page.now;
  evidence = page.evidence;
  state = "live";
}

function told({ state: name, change }) {
  if (name === "reconnecting") { state = name; freshness(); return; }
  const about = body.dataset.target;
  const ours = !about || !change.targets.length || change.targets.includes(about);
  if (state !== "live" || ours) refresh();
  else { skew = Date.parse(change.now) - Date.now(); asOf = change.now; freshness(); }
}

function connect() {
  try {
    const worker = new SharedWorker(body.dataset.worker, { type: "module", name: "penstock" });
    worker.onerror = () => followWhileVisible();
    worker.port.onmessage = ({ data }) => told(data);
    addEventListener("pagehide", () => worker.port.postMessage("bye"));
  } catch {
    followWhileVisible();
  }
}

function followWhileVisible() {
  let stop = null;
  const look = () => {
    if (document.hidden || submitted) { stop?.(); stop = null; } else stop ??= follow(told);
  };
  document.addEventListener("visibilitychange", look);
  document.addEventListener("submit", () => { stop?.(); stop = null; });
  addEventListener("pagehide", () => stop?.());
  look();
}

document.addEventListener("visibilitychange", () => { if (!document.hidden && stale) { stale = false; refresh(); } });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  // The same key when it is pressed again: the request is done once, whatever became of the first answer.
  if (form.elements.key && !form.elements.key.value) form.elements.key.value = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  submitted = true;
  fetching?.abort();
  const words = form.querySelector(".wait") ?? form.appendChild(Object.assign(document.createElement("p"), { className: "wait", role: "status" }));
  words.textContent = "Sent; waiting for the answer.";
  setTimeout(() => {
    submitted = false;
    words.textContent = "No answer within 5 s: it is not known whether it was done. Press the button again (it is done once), or load the page again to see.";
    refresh();
  }, 5000);
});

function openIds(element) {
  return [...element.querySelectorAll("details[open]")].map((details) => details.id || details.querySelector("summary").textContent);
}

function put(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  // Nobody's typing is lost: what holds the focus, or an open form, changes once it is left.
  if (element.contains(document.activeElement) && document.activeElement.matches("input, textarea, summary")) {
    held.set(id, html);
    return;
  }
  held.delete(id);
  const open = new Set(openIds(element));
  const scrolled = [...element.querySelectorAll(".scroll")].map((part) => part.scrollLeft);
  element.innerHTML = html;
  for (const details of element.querySelectorAll("details")) {
    if (open.has(details.id || details.querySelector("summary").textContent)) details.open = true;
  }
  element.querySelectorAll(".scroll").forEach((part, place) => { part.scrollLeft = scrolled[place] ?? 0; });
  count();
}

function words(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 90) return `in ${Math.round(seconds)} s`;
  if (seconds < 5400) return `in ${Math.round(seconds / 60)} min`;
  return `in ${Math.round(seconds / 3600)} h`;
}

function count() {
  const now = Date.now() + skew;
  for (const element of document.querySelectorAll("[data-due]")) {
    const left = (Date.parse(element.dataset.due) - now) / 1000;
    element.dataset.at ??= element.textContent;
    element.textContent = `${element.dataset.at} (${words(left)})`;
  }
}

document.addEventListener("focusout", () => {
  setTimeout(() => { for (const [id, html] of [...held]) put(id, html); }, 0);
});
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.activeElement?.closest("details.ask");
  if (open) { open.open = false; open.querySelector("summary").focus(); }
});
for (const link of document.querySelectorAll('a[href^="#e-"]')) link.title = "the event that caused it";
setInterval(() => { count(); freshness(); }, 1000);
count();
if (body.dataset.parts) { connect(); refresh(); }
