"use strict";
// What is wider than the screen can be scrolled with keys too.
for (const wide of document.querySelectorAll(".wide")) {
  if (wide.scrollWidth <= wide.clientWidth) continue;
  wide.tabIndex = 0;
  wide.setAttribute("role", "region");
  wide.setAttribute("aria-labelledby", wide.dataset.name);
}
// The list of classes: each class's pictures are put into the page when it comes near, so that thousands stay usable.
(() => {
  const list = document.getElementById("class-list");
  if (!list) return;
  const $ = (id) => document.getElementById(id);
  const sections = [...list.querySelectorAll(":scope > .class")];
  const served = document.querySelector('meta[name="ltgc-token"]') !== null;
  const AT_FIRST = 24; // pictures of one kind that are shown before one asks for all
  const PRINTED = 60; // classes that are opened for paper; of more, those that are open

  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase(); // naive finds naïve
  const number = (text) => (text === "" ? NaN : Number(text));
  const known = new Map(
    sections.map((section) => {
      const name = section.querySelector("h3").textContent.trim();
      const { label, count, gain, rejection, shot, tail } = section.dataset;
      return [section, { name, text: plain(name), label, shot, tail: tail === "1",
        count: number(count), gain: number(gain), rejection: number(rejection) }];
    }),
  );

  // ---- what a class holds

  // With scripts on, what noscript holds is text that no element is made of until it is wanted. It was escaped as a page is.
  const build = (section) => {
    const waiting = section.querySelector("noscript");
    if (!waiting) return;
    const holder = document.createElement("template");
    holder.innerHTML = waiting.textContent;
    waiting.replaceWith(holder.content);
    if (!served) section.querySelectorAll(".drawings, .strip").forEach(shorten);
    section.dispatchEvent(new CustomEvent("ltgc:built", { bubbles: true }));
  };

  const shorten = (pictures) => {
    const many = pictures.children.length;
    if (many <= AT_FIRST) return;
    pictures.classList.add("short");
    const all = document.createElement("button");
    all.type = "button";
    all.className = "all";
    all.textContent = `Show all ${many.toLocaleString("en")}`;
    all.addEventListener("click", () => {
      pictures.classList.replace("short", "whole");
      pictures.children[AT_FIRST].tabIndex = -1;
      pictures.children[AT_FIRST].focus();
      all.remove();
    });
    pictures.after(all);
  };

  const isOpen = (section) => section.querySelector("details")?.open;
  const near = new IntersectionObserver(
    (entries) => entries.forEach((entry) => {
      if (entry.isIntersecting && isOpen(entry.target)) build(entry.target);
    }),
    { rootMargin: "1000px" },
  );
  sections.forEach((section) => near.observe(section));
  // Where all is open anyway it is soon there, so that the browser's own search finds it.
  const later = sections.filter((section) => section.querySelector("noscript") && isOpen(section));
  const next = () => {
    if (!later.length) return;
    build(later.shift());
    (window.requestIdleCallback ?? setTimeout)(next);
  };
  next();
  // Looked at afresh: of thousands that are opened at once those alone are built that are near.
  list.addEventListener("toggle", (event) => {
    const section = event.target.parentElement;
    if (!section.matches(".class")) return;
    near.unobserve(section);
    near.observe(section);
  }, true);
  // Digits and icons are shown pixel by pixel, not blurred.
  list.addEventListener("load", (event) => {
    if (event.target.naturalWidth <= 64 && event.target.naturalHeight <= 64) event.target.classList.add("pixels");
  }, true);

  // ---- search, order, what is shown

  const last = (value) => (Number.isNaN(value) ? Infinity : value);
  const orders = {
    rarest: (a, b) => last(a.count) - last(b.count),
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
    gain: (a, b) => last(-a.gain) - last(-b.gain),
    loss: (a, b) => last(a.gain) - last(b.gain),
    rejection: (a, b) => last(-a.rejection) - last(-b.rejection),
  };
  const sort = () => {
    const order = orders[$("sort").value];
    const compared = (a, b) => {
      const one = order(known.get(a), known.get(b)); // NaN where both are infinite
      return one || known.get(a).label - known.get(b).label;
    };
    list.append(...sections.sort(compared));
  };
  const show = () => {
    const wanted = plain($("search").value.trim());
    const shot = $("shot").value;
    let found = 0;
    for (const section of sections) {
      const { text, label, shot: own, tail } = known.get(section);
      const pictured = shot === "pictured" && section.querySelector(":scope > details");
      const fits = !shot || pictured || (shot === "tail" ? tail : own === shot);
      section.hidden = !(fits && (!wanted || text.includes(wanted) || label === wanted));
      found += !section.hidden;
    }
    const all = sections.length.toLocaleString("en");
    $("found").textContent = found === sections.length ? `${all} ${found === 1 ? "class" : "classes"}` : `${found.toLocaleString("en")} of ${all} classes`;
  };
  const fold = () => {
    const open = sections.some((section) => !section.hidden && isOpen(section));
    $("fold").textContent = open ? "Close all" : "Open all";
    return open;
  };
  list.addEventListener("toggle", fold, true);
  $("fold").addEventListener("click", () => {
    const open = fold();
    sections.forEach((section) => {
      const details = section.querySelector(":scope > details");
      if (details && !section.hidden) details.open = !open;
    });
  });
  $("search").addEventListener("input", show);
  $("shot").addEventListener("change", show);
  $("sort").addEventListener("change", sort);
  document.querySelector(".toolbar").addEventListener("submit", (event) => event.preventDefault());

  // ---- keys

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      $("search").focus();
    }
    const drawing = event.target.closest(".tile");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (drawing === event.target && step) {
      const next = step > 0 ? drawing.nextElementSibling : drawing.previousElementSibling;
      if (next && next.offsetParent) {
        event.preventDefault();
        drawing.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    }
  });

  // ---- a link to a class opens it, and paper shows what a screen would

  // What is jumped to stays where it is while the classes above it take their size, unless somebody moves on.
  const land = (place) => {
    let [top, still, left] = [NaN, 0, 300];
    const moved = new AbortController();
    const { signal } = moved;
    for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) {
      addEventListener(kind, () => moved.abort(), { signal, passive: true });
    }
    const settle = () => {
      if (signal.aborted) return;
      place.scrollIntoView({ behavior: "instant" });
      const now = Math.round(place.getBoundingClientRect().top + scrollY);
      still = now === top ? still + 1 : 0;
      top = now;
      if (still > 30 || !left--) moved.abort();
      else requestAnimationFrame(settle);
    };
    settle();
  };
  const go = () => {
    const place = document.querySelector(":target");
    if (!place) return;
    if (place.matches(".class")) {
      place.hidden = false;
      const details = place.querySelector(":scope > details");
      if (details) details.open = true;
      build(place);
    }
    land(place);
  };
  addEventListener("hashchange", go);
  let opened = [];
  addEventListener("beforeprint", () => {
    const shown = sections.filter((section) => !section.hidden);
    const printed = shown.length <= PRINTED ? shown : shown.filter(isOpen);
    printed.forEach(build);
    opened = printed.flatMap((section) => {
      const galleries = [...section.querySelectorAll(".drawings")];
      const histories = galleries.flatMap((one) => [...one.querySelectorAll(".history")].slice(0, 2));
      return [section.querySelector(":scope > details"), ...histories].filter((one) => one && !one.open);
    });
    opened.forEach((details) => (details.open = true));
  });
  addEventListener("afterprint", () => {
    opened.forEach((details) => (details.open = false));
    opened = [];
  });

  document.querySelector(".toolbar").hidden = false;
  show();
  fold();
  go();
})();
