// Brings the page up to date while somebody looks at it, unless he is about to act.
"use strict";

const EVERY_MS = 5000;

function busy() {
  const main = document.querySelector("main[data-live]");
  return document.hidden
    || main.querySelector("details.action[open]") !== null
    || main.contains(document.activeElement);
}

let asking = false;

async function refresh() {
  if (asking || busy()) return;
  asking = true;
  try {
    await replace();
  } finally {
    asking = false;
  }
}

async function replace() {
  const away = document.getElementById("away");
  let text;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    text = await answer.text();
  } catch {
    away.hidden = false;
    return;
  }
  away.hidden = true;
  const next = new DOMParser().parseFromString(text, "text/html");
  const fresh = next.querySelector("main[data-live]");
  if (fresh === null) {
    location.replace("/");
    return;
  }
  if (busy()) return;
  const main = document.querySelector("main[data-live]");
  for (const open of main.querySelectorAll("details[open]")) {
    const same = [...fresh.querySelectorAll("details")]
      .find((one) => one.dataset.key === open.dataset.key);
    if (same !== undefined) same.open = true;
  }
  main.replaceWith(fresh);
  document.querySelector(".when").textContent = next.querySelector(".when").textContent;
}

// What was said of the last button is not said again when the page is loaded anew.
history.replaceState(null, "", "/");
setInterval(refresh, EVERY_MS);
