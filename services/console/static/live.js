// Keeps a page live: messages carry an element's id and its new HTML. Without this script every page is whole, only still.
const body = document.body;
const chip = document.getElementById("freshness");
const held = new Map();
let skew = Date.parse(body.dataset.now) - Date.now();

function show(state, words) {
  chip.dataset.state = state;
  chip.querySelector(".chip-text").textContent = words;
}

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

function follow(address) {
  const source = new EventSource(address);
  source.onopen = () => show("live", "live");
  source.onerror = () => show("reconnecting", "reconnecting");
  source.onmessage = (message) => {
    const said = JSON.parse(message.data);
    if (said.now) skew = Date.parse(said.now) - Date.now();
    if (said.id) put(said.id, said.html);
    show("live", "live");
  };
  addEventListener("pagehide", () => source.close());
}

document.addEventListener("focusout", () => {
  setTimeout(() => { for (const [id, html] of [...held]) put(id, html); }, 0);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement?.closest("details.ask")?.removeAttribute("open");
});
for (const link of document.querySelectorAll('a[href^="#e-"]')) link.title = "the event that caused it";
setInterval(count, 1000);
count();
if (body.dataset.stream) follow(body.dataset.stream);
