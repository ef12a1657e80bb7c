// htmx keeps the page up to date, by attributes; here is what these cannot say.
"use strict";

// What was said of the last button is not said again when the page is loaded anew.
history.replaceState(null, "", "/");

const main = () => document.querySelector("main[data-live]");
const away = (is) => { document.getElementById("away").hidden = !is; };
let kept = [];

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});
document.addEventListener("htmx:sendError", () => away(true));
document.addEventListener("htmx:timeout", () => away(true));

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  // A proxy's page, whatever its status, must not take the place of ours.
  const ours = detail.shouldSwap && detail.serverResponse.includes("<main data-live");
  away(!ours);
  // Nor may a button be replaced between its press and its release.
  detail.shouldSwap = ours && main().querySelector(":active") === null;
  kept = [...main().querySelectorAll("details[open], .scroll")]
    .map((one) => [one.id, one.open, one.scrollLeft]);
});

document.addEventListener("htmx:afterSwap", () => {
  for (const [id, open, left] of kept) {
    const same = document.getElementById(id);
    if (same === null) continue;
    if (open) same.open = true;
    same.scrollLeft = left;
  }
});
