"use strict";
// Keeping and rejecting generated images. What is shown as decided is what the file of verdicts says: each decision is sent,
// and shown once it is read back from there, like those of other tabs and programs.
(() => {
  const said = new Map(); // "label/sha256" -> "keep" | "reject"
  let drawings = {}; // label -> how many can be decided on
  let end = 0; // up to where the file of verdicts is known
  let current = null; // the image that keys are about
  let decided = null; // the one decided last, while the focus is where that led
  let queue = Promise.resolve(); // one thing after another, so that the last one wins here too
  let pressed = Promise.resolve();

  const DONE = { keep: "Kept", reject: "Rejected", none: "Taken back" };
  const KEYS = [
    ["k", "keep"], ["r", "reject"], ["u", "undo: no verdict"], ["→ j n", "next image"], ["← p", "previous image"],
    ["↓ ↑", "the row below, above"], ["l", "next one that is left"], ["z", "look at it large"], ["?", "these keys"],
  ];

  const make = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const key = (figure) => `${figure.dataset.label}/${figure.dataset.sha256}`;
  const REVIEWED = ".drawing[data-state=accepted], .drawing[data-state=rejected]";
  const figures = (root = document) => [...root.querySelectorAll(REVIEWED)];
  const isShown = (element) => element.checkVisibility();
  const section = (figure) => figure.closest(".class");
  const name = (figure) => section(figure)?.querySelector("h3")?.firstChild?.textContent.trim() ?? "";
  const which = (figure) => `${name(figure)}, image ${place(figure)}`;
  const place = (figure) => 1 + figures(section(figure) ?? document).indexOf(figure);

  // ---- what is seen of it
  const counts = make("p", { className: "review-counts" });
  const status = make("p", { className: "review-status" });
  status.setAttribute("role", "status");
  const trouble = make("p", { className: "review-trouble", hidden: true });
  trouble.setAttribute("role", "alert");
  const button = (text, act, more = {}) => {
    const made = make("button", { type: "button", textContent: text, ...more });
    made.addEventListener("click", act);
    return made;
  };
  const help = make("dialog", { className: "review-help" });
  help.setAttribute("aria-labelledby", "review-help-title");
  help.append(
    make("h2", { id: "review-help-title", textContent: "Keys" }),
    make("dl", {}, ...KEYS.map(([keys, what]) =>
      make("div", {}, make("dt", {}, ...keys.split(" ").map((one) => make("kbd", { textContent: one }))), make("dd", { textContent: what })))),
    make("p", { textContent: "They are about the image in focus. After keep and reject the next one is; then u takes back the one before." }),
    button("Close", () => help.close()),
  );
  const choices = (say) => {
    const row = make("div", { className: "review-buttons" },
      button("Keep", () => say("keep"), { value: "keep" }), button("Reject", () => say("reject"), { value: "reject" }));
    row.setAttribute("role", "group");
    return row;
  };
  const large = make("dialog", { className: "review-large" });
  const picture = make("img", { alt: "" });
  const caption = make("p");
  caption.setAttribute("role", "status");
  Object.assign(caption, { tabIndex: -1, autofocus: true });
  const choice = choices((verdict) => toggle(current, verdict));
  choice.setAttribute("aria-label", "Verdict");
  choice.prepend(button("←", () => go(-1), { ariaLabel: "Previous" }));
  choice.append(button("→", () => go(1), { ariaLabel: "Next" }), button("Close", () => large.close()));
  large.append(picture, caption, choice);
  large.setAttribute("aria-label", "The image, large");
  let looked = null; // closing gives the focus back to where it was when it opened
  large.addEventListener("close", () => focus(looked));
  const bar = make("aside", { className: "review-bar" },
    counts, status, trouble,
    make("div", { className: "review-go" },
      button("Previous", () => go(-1), { title: "← or p" }),
      button("Next", () => go(1), { title: "→, j or n" }),
      button("Next left", () => left(), { title: "l: the next image without a verdict" }),
      button("?", () => help.showModal(), { title: "The keys", ariaLabel: "Keys" })));
  bar.setAttribute("aria-label", "Review");

  function press(row, verdict) {
    for (const one of row.querySelectorAll("[value=keep], [value=reject]")) one.setAttribute("aria-pressed", String(one.value === verdict));
  }

  function show(figure) {
    const verdict = said.get(key(figure)) ?? "";
    figure.dataset.verdict = verdict;
    const row = figure.querySelector(".review-buttons");
    if (row) press(row, verdict);
  }

  function dress(figure) {
    const row = choices((verdict) => { focus(figure); toggle(figure, verdict); });
    row.setAttribute("aria-label", `Verdict on image ${place(figure)} of ${name(figure)}`);
    const shown = figure.querySelector("img");
    shown.addEventListener("click", () => { focus(figure); look(); });
    shown.after(row);
    show(figure);
  }

  function count() {
    const number = { keep: 0, reject: 0 };
    const by_label = {};
    for (const [one, verdict] of said) {
      number[verdict] += 1;
      const label = one.split("/", 1)[0];
      by_label[label] = (by_label[label] ?? 0) + 1;
    }
    const all = Object.values(drawings).reduce((sum, many) => sum + many, 0);
    const some = (many, word) => make("span", {}, make("b", { textContent: many.toLocaleString("en") }), ` ${word}`);
    counts.replaceChildren(some(number.keep, "kept"), some(number.reject, "rejected"), some(all - said.size, "left"));
    return (label) => (drawings[label] ?? 0) - (by_label[label] ?? 0);
  }

  function look() {
    const shown = current?.querySelector("img");
    if (!shown) return;
    looked = current;
    picture.src = shown.src;
    picture.className = shown.className;
    const verdict = said.get(key(current)) ?? "";
    const told = { keep: ", kept", reject: ", rejected" }[verdict] ?? "";
    caption.textContent = `${which(current)}${told}: ${shown.alt}`;
    press(choice, verdict);
    if (!large.open) large.showModal();
  }

  // ---- what is said, and read back
  async function ask(path, options = {}) {
    const answer = await fetch(path, { cache: "no-store", ...options });
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.error);
    return content;
  }

  function alarm(text) {
    trouble.textContent = text;
    trouble.hidden = !text;
  }

  function reason(error) {
    return error instanceof TypeError ? "the server does not answer; start ltgc review again and open the address that it prints" : error.message;
  }

  async function read() {
    const found = await ask(`verdicts?since=${end}`);
    if (found.start === 0 && end > 0) said.clear();
    const changed = found.start !== end || found.verdicts.length > 0;
    for (const [label, sha256, verdict] of found.verdicts) {
      if (verdict === "none") said.delete(`${label}/${sha256}`);
      else said.set(`${label}/${sha256}`, verdict);
    }
    end = found.end;
    if (!changed) return;
    count();
    figures().forEach(show);
    if (large.open) look();
  }

  function say(figure, verdict) {
    const one = { label: Number(figure.dataset.label), sha256: figure.dataset.sha256, verdict };
    queue = queue.then(async () => {
      if (verdict === "none" && !said.has(key(figure))) return;
      try {
        await ask("verdict", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(one) });
        await read();
        alarm("");
        status.textContent = `${DONE[verdict]}: ${which(figure)}`;
      } catch (error) {
        status.textContent = "";
        alarm(`Not kept: ${which(figure)}: ${reason(error)}`);
      }
    });
  }

  const toggle = (figure, verdict) => say(figure, said.get(key(figure)) === verdict ? "none" : verdict);

  function poll() {
    queue = queue.then(read).then(
      () => { if (trouble.dataset.polled) { alarm(""); delete trouble.dataset.polled; } },
      (error) => { if (trouble.hidden) { alarm(`Decisions cannot be kept now: ${reason(error)}`); trouble.dataset.polled = "1"; } },
    );
  }

  // ---- moving about
  function focus(figure) {
    current = figure;
    decided = null;
    figure.focus({ preventScroll: true });
    figure.scrollIntoView({ block: "nearest" });
    if (large.open) look();
  }

  // The images of the first of some classes that has any and is not hidden by a search; it is opened for that.
  function opened(classes) {
    for (const cls of classes) {
      if (!isShown(cls) || !drawings[cls.dataset.label]) continue;
      const details = cls.querySelector("details");
      if (details && !details.open) details.open = true;
      return new Promise((done) => {
        let tries = 100;
        const wait = () => (figures(cls).some(isShown) || !(tries -= 1) ? done(figures(cls).filter(isShown)) : requestAnimationFrame(wait));
        wait();
      });
    }
    return Promise.resolve([]);
  }

  const classes = () => [...document.querySelectorAll(".class")];

  async function go(step) {
    const all = figures().filter(isShown);
    if (!current || !isShown(current)) {
      const first = all.length ? all : await opened(classes());
      if (first.length) focus(first[0]);
      return;
    }
    const own = figures(section(current) ?? document).filter(isShown);
    const next = own[own.indexOf(current) + step];
    if (next) return focus(next);
    const others = classes();
    const here = others.indexOf(section(current));
    const found = await opened(step > 0 ? others.slice(here + 1) : others.slice(0, Math.max(here, 0)).reverse());
    if (found.length) focus(step > 0 ? found[0] : found[found.length - 1]);
    else status.textContent = step > 0 ? "This is the last image" : "This is the first image";
  }

  function row(step) {
    if (!current || !isShown(current)) return go(step);
    const here = current.getBoundingClientRect();
    const middle = (box) => (box.left + box.right) / 2;
    const boxes = figures(section(current) ?? document).filter(isShown).map((one) => [one, one.getBoundingClientRect()])
      .filter(([, box]) => (step > 0 ? box.top >= here.bottom - 1 : box.bottom <= here.top + 1));
    if (!boxes.length) return go(step);
    const nearest = boxes.reduce((a, b) => (Math.abs(b[1].top - here.top) < Math.abs(a[1].top - here.top) ? b : a))[1].top;
    const line = boxes.filter(([, box]) => Math.abs(box.top - nearest) < 4);
    focus(line.reduce((a, b) => (Math.abs(middle(b[1]) - middle(here)) < Math.abs(middle(a[1]) - middle(here)) ? b : a))[0]);
  }

  async function left() {
    const open = count();
    const all = classes().filter(isShown);
    const here = Math.max(all.indexOf(current && section(current)), 0);
    const behind = (one) => !current || current.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING;
    // From here to the end, and round again to what is before it in its own class.
    for (const [turn, cls] of [...all.slice(here), ...all.slice(0, here + 1)].entries()) {
      if (open(cls.dataset.label) <= 0) continue;
      const found = (await opened([cls])).filter((one) => !said.has(key(one)));
      const next = turn ? found[0] : found.find(behind);
      if (next) return focus(next);
    }
    status.textContent = "Nothing is left";
  }

  async function decide(verdict) {
    const focused = large.open ? current : document.activeElement.closest(REVIEWED);
    if (!focused) {
      status.textContent = "Choose an image first: n goes to the next one";
      return;
    }
    const figure = verdict === "none" ? decided ?? focused : focused;
    say(figure, verdict);
    if (verdict === "none") return focus(figure);
    await go(1);
    decided = figure === current ? null : figure;
  }

  const ACTS = {
    k: () => decide("keep"), r: () => decide("reject"), u: () => decide("none"),
    j: () => go(1), n: () => go(1), p: () => go(-1), ArrowRight: () => go(1), ArrowLeft: () => go(-1),
    ArrowDown: () => row(1), ArrowUp: () => row(-1), l: () => left(), z: () => (large.open ? large.close() : look()),
    "?": () => (help.open ? help.close() : help.showModal()),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    if (help.open && event.key !== "?") return;
    const act = ACTS[event.key];
    const arrow = event.key.startsWith("Arrow");
    if (!act || (arrow && !large.open && !event.target.closest(REVIEWED))) return;
    event.preventDefault();
    event.stopPropagation();
    pressed = pressed.then(act); // a key waits until the one before has moved the focus
  }, true);

  document.addEventListener("focusin", (event) => {
    const figure = event.target.closest?.(REVIEWED);
    if (figure && figure !== current) {
      current = figure;
      decided = null;
    }
  });

  // ---- begin
  document.head.append(make("link", { rel: "icon", href: "data:," }));
  document.body.append(bar, help, large);
  document.body.classList.add("reviewing");
  document.addEventListener("ltgc:built", (event) => figures(event.target).forEach(dress)); // page.js builds a class late
  figures().forEach(dress);
  queue = queue.then(async () => {
    drawings = await ask("drawings");
    count();
    await read();
  }).catch((error) => alarm(reason(error)));
  setInterval(poll, 2000);
})();
