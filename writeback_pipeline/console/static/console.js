// What the pages gain when a browser runs scripts: regions that keep themselves up to date, and a question before
// what is hard to take back. Every page works without this file.
"use strict";

// <section id="…" data-live="3"> is fetched again every 3 seconds, as long as the answer has that attribute too; less
// often, up to every 10 seconds, while nothing changes. data-live-from names another address than the page's own;
// data-tell is a sentence that is read out, from the page's #told, whenever it is another.
const SLOWEST = 10;
const live = () => {
  for (const region of document.querySelectorAll("[data-live]:not([data-watched])")) {
    region.dataset.watched = "";
    setTimeout(() => refresh(region), 1000 * Math.max(1, Number(region.dataset.wait || region.dataset.live) || 3));
  }
};

const refresh = async (region) => {
  if (!region.isConnected) return;
  let fresh = null;
  if (!document.hidden && !region.contains(document.querySelector("dialog[open]"))) {
    try {
      const answer = await fetch(region.dataset.liveFrom || location.href, {
        headers: { "X-Live": "1" },
        signal: AbortSignal.timeout(10000),
      });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      fresh = answer.ok && !answer.redirected ? page.getElementById(region.id) : null;
    } catch {
      fresh = null; // the console is away or slow: what is shown stays, and the next try may do
    }
  }
  if (fresh && fresh.innerHTML === region.innerHTML && "live" in fresh.dataset) fresh = null;
  if (fresh) {
    const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
    const chosen = [...region.querySelectorAll("input:checked")].map((box) => box.id);
    const opened = [...region.querySelectorAll("details[open]")].map((part) => part.id);
    region.replaceWith(fresh);
    const told = document.getElementById("told");
    if (told && fresh.dataset.tell !== region.dataset.tell) told.textContent = fresh.dataset.tell ?? "";
    for (const id of chosen.filter(Boolean)) Object.assign(document.getElementById(id) ?? {}, { checked: true });
    for (const id of opened.filter(Boolean)) Object.assign(document.getElementById(id) ?? {}, { open: true });
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  } else {
    delete region.dataset.watched;
    region.dataset.wait = Math.min(SLOWEST, 1.25 * Number(region.dataset.wait || region.dataset.live));
  }
  live();
};

// <a data-ask> and <form data-ask> lead to a page that asks first. What it asks, its [data-question], is shown in a dialog
// above the page that somebody is on; whatever else comes is shown as without a script.
const ask = async (asker) => {
  const isForm = asker instanceof HTMLFormElement;
  const otherwise = () => (isForm ? asker.submit() : location.assign(asker.href));
  try {
    const answer = await fetch(isForm ? asker.action : asker.href, {
      method: isForm ? "POST" : "GET",
      body: isForm ? new URLSearchParams(new FormData(asker)) : undefined,
      redirect: "manual",
      signal: AbortSignal.timeout(10000),
    });
    if (answer.type === "opaqueredirect" && isForm) return location.reload(); // nothing was left to ask
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const question = page.querySelector("[data-question]");
    if (question) show(question, page.querySelector("h1").textContent);
    else otherwise();
  } catch {
    otherwise();
  }
};

const show = (question, words) => {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "question");
  dialog.append(Object.assign(document.createElement("h2"), { id: "question", textContent: words }), question);
  dialog.querySelector("[data-cancel]")?.addEventListener("click", (event) => {
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
};

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-ask]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  ask(link);
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if ("ask" in form.dataset) {
    event.preventDefault();
    ask(form);
  } else if (form.method === "post") {
    if ("sent" in form.dataset) event.preventDefault();
    form.dataset.sent = "";
  }
});

// <input type="checkbox" data-choose="version"> chooses every box of that name in its form.
document.addEventListener("change", (event) => {
  const { choose } = event.target.dataset;
  if (!choose) return;
  for (const box of event.target.form.elements) {
    if (box.type === "checkbox" && box.name === choose) box.checked = event.target.checked;
  }
});

addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

live();

// The list of bridges closes by Escape, and when somebody goes elsewhere.
const bridges = document.querySelector("details.switch");
if (bridges) {
  document.addEventListener("click", (event) => bridges.contains(event.target) || bridges.removeAttribute("open"));
  bridges.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !bridges.contains(event.relatedTarget)) bridges.removeAttribute("open");
  });
  bridges.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !bridges.open) return;
    bridges.removeAttribute("open");
    bridges.querySelector("summary").focus();
  });
}
