// Keyboard shortcuts: they lead somewhere, and never answer. The page works without them, and they can be turned off.
"use strict";

const OFF = "gate: no keyboard shortcuts";
const shortcuts = document.getElementById("keys");
const switchedOn = document.getElementById("keys-on");
const opener = document.getElementById("keys-shown");

function step(by) {
  const links = [...document.querySelectorAll(".card h4 a, tbody td a")];
  const at = links.indexOf(document.activeElement);
  links[Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
}

const LEADS = {
  j: () => step(1),
  k: () => step(-1),
  c: () => document.getElementById("comment")?.focus(),
  "/": () => document.querySelector("form[role=search] input:not([type=checkbox])")?.focus(),
  w: () => { location.href = "/"; },
  h: () => { location.href = "/history"; },
  "?": () => shortcuts.showModal(),
};

switchedOn.checked = localStorage.getItem(OFF) === null;
switchedOn.addEventListener("change", () => {
  if (switchedOn.checked) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "yes");
});
opener.hidden = false;
opener.addEventListener("click", () => shortcuts.showModal());
document.addEventListener("keydown", (event) => {
  const writes = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
  if (writes || event.ctrlKey || event.metaKey || event.altKey || !switchedOn.checked) return;
  if (!Object.hasOwn(LEADS, event.key)) return;
  event.preventDefault();
  LEADS[event.key]();
});
