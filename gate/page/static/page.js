// The page works without this. With it, what changed appears by itself: on an event the page is fetched again, and each
// part marked data-live is put in place of the old one, unless somebody is at work in it. After reader.js.
"use strict";

const AT_MOST_EVERY_MS = 1000;
const ANYWAY_EVERY_MS = 30000;
let fetching = false;
let again = false;
let last = 0;

function say(text) {
  const place = document.getElementById("live-state");
  if (place.textContent !== text) place.textContent = text;
}

function checked(part) {
  return [...part.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value);
}

function replace(old, fresh) {
  // A form that stays open keeps what was written into it, and its token.
  if (fresh.dataset.keep && fresh.dataset.keep === old.dataset.keep) return;
  if (old.innerHTML === fresh.innerHTML) return;
  const boxes = checked(old);
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const selector = focused && (focused.getAttribute("href") ? `a[href="${CSS.escape(focused.getAttribute("href"))}"]`
    : focused.value ? `[value="${CSS.escape(focused.value)}"]` : null);
  const unsent = old.querySelector("textarea")?.value;
  old.replaceWith(fresh);
  if (unsent && !fresh.querySelector("textarea")) {
    fresh.append(Object.assign(document.createElement("p"), { className: "unsent", textContent: `You had written: ${unsent}` }));
  }
  for (const box of fresh.querySelectorAll("input[type=checkbox]")) box.checked = boxes.includes(box.value);
  const next = selector && fresh.querySelector(selector);
  if (next) next.focus();
}

async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
    const loggedOut = answer.status === 401 || (answer.redirected && new URL(answer.url).pathname === "/login");
    if (loggedOut) { location.reload(); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    localize(fresh);
    for (const part of fresh.querySelectorAll("[data-live]")) {
      const old = document.getElementById(part.id);
      if (old) replace(old, document.importNode(part, true));
    }
    restore();
    last = Date.now();
    say("");
  } catch {
    say("This page cannot be reached; it shows what was so before.");
  } finally {
    fetching = false;
    if (again) { again = false; setTimeout(refresh, AT_MOST_EVERY_MS); }
  }
}

function soon() {
  const wait = Math.max(last + AT_MOST_EVERY_MS - Date.now(), 0);
  setTimeout(refresh, wait + Math.random() * 200);
}

if ("follow" in document.body.dataset) {
  const events = new EventSource(`/live?since=${document.body.dataset.follow}`);
  events.addEventListener("change", soon);
  events.addEventListener("open", () => { if (last) soon(); last = last || Date.now(); });
  events.addEventListener("error", () => {
    // Closed: logged out, as the page itself will say; or this person has very many open, and this one looks as below.
    if (events.readyState === EventSource.CLOSED) soon();
    else say("Not connected just now; trying again.");
  });
  setInterval(() => { if (!document.hidden) refresh(); }, ANYWAY_EVERY_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
}

// A form that is on its way is not sent twice.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  event.target.dataset.sent = "yes";
  setTimeout(() => { delete event.target.dataset.sent; }, 10000);
});
