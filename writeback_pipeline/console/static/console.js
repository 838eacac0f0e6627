// What the pages gain when a browser runs scripts: regions that keep themselves up to date, and a question before
// what is hard to take back. Every page works without this file.
"use strict";

// <section id="…" data-live="3"> is fetched again every 3 seconds, as long as the answer has that attribute too; less
// often, up to every 30 seconds, while nothing changes. data-live-from names another address than the page's own;
// data-tell is a sentence that is read out, from the page's #told, whenever it is another.
const SLOWEST = 30;
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
    region.dataset.wait = Math.min(SLOWEST, 1.5 * Number(region.dataset.wait || region.dataset.live));
  }
  live();
};

// <form data-confirm="Send 3 windows?" data-confirm-more="…"> asks first. Without a script the answer to the form is a
// page that asks the same; confirmed=yes says that it was asked.
const ask = (form, button) => {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "question");
  const [title, more, buttons, yes, no] = ["h2", "p", "div", "button", "button"].map((tag) => document.createElement(tag));
  Object.assign(title, { id: "question", textContent: form.dataset.confirm });
  more.textContent = form.dataset.confirmMore || "";
  Object.assign(yes, { type: "button", className: "primary", textContent: button?.textContent.trim() || "Go on" });
  Object.assign(no, { type: "button", textContent: "Cancel" });
  buttons.className = "buttons";
  buttons.append(yes, no);
  dialog.append(title, ...(more.textContent ? [more] : []), buttons);
  no.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    button?.focus();
  });
  yes.addEventListener("click", () => {
    const field = Object.assign(document.createElement("input"), { type: "hidden", name: "confirmed", value: "yes" });
    form.append(field);
    dialog.close();
    form.requestSubmit(button);
  });
  document.body.append(dialog);
  dialog.showModal();
};

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !form.elements.confirmed) {
    event.preventDefault();
    ask(form, event.submitter);
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
