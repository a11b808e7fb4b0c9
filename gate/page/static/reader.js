// What is the reader's own: their time zone, and what they are writing. The page works without this.
"use strict";

// Times in the reader's own zone; the same in UTC stays as the title.
function localize(root) {
  const today = new Date().toDateString();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toDateString() === today
      ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", timeZoneName: "short" })
      : at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

// A comment that is being written outlives errors, changes and a new login: this tab keeps it until it was sent, or until
// somebody logs out.
const draftOf = (path) => `comment of ${document.querySelector(".who")?.textContent} on ${path}`;
const answering = new IntersectionObserver(([buttons]) => {
  document.body.classList.toggle("answering", buttons.isIntersecting);
});

function restore() {
  const box = document.getElementById("comment");
  if (document.querySelector("#outcome :is(.counted, .left)")) sessionStorage.removeItem(draftOf(location.pathname));
  if (document.getElementById("outcomes")) sessionStorage.removeItem(draftOf("/"));
  if (box && !box.value) box.value = sessionStorage.getItem(draftOf(location.pathname)) || "";
  const buttons = document.querySelector("#answer .buttons");
  answering.disconnect();
  if (buttons) answering.observe(buttons);
}

localize(document);
restore();
document.addEventListener("input", (event) => {
  if (event.target.id === "comment") sessionStorage.setItem(draftOf(location.pathname), event.target.value);
});
document.addEventListener("submit", (event) => {
  if (event.target.action.endsWith("/logout")) sessionStorage.clear();
});
