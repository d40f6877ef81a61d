// Keeps figures fresh and adds the sliders. Every page works without it.
"use strict";

const PAUSE = 5000;

/** Puts what has changed of the same page in place of what stands there, where nobody is at work. */
const refresh = async () => {
  const answer = await fetch(location.pathname + location.search.replace(/([?&])done=[^&]*&?/, "$1"), {
    headers: { accept: "text/html" },
    redirect: "error",
  });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (!now || now.innerHTML === old.innerHTML || old.contains(document.activeElement)) continue;
    old.replaceChildren(...now.childNodes);
  }
};

const keep = async () => {
  const sign = document.createElement("p");
  sign.className = "fresh soft";
  document.querySelector("main").append(sign);
  const clock = (moment) => moment.toLocaleTimeString([], { hourCycle: "h23" });
  let last = new Date();
  for (;;) {
    await new Promise((done) => setTimeout(done, PAUSE));
    if (document.hidden) continue;
    try {
      await refresh();
      last = new Date();
      sign.textContent = `Figures of ${clock(last)}`;
      sign.classList.remove("stale");
    } catch {
      // Old figures that look fresh would be worse than none.
      sign.textContent = `No answer: these are the figures of ${clock(last)}`;
      sign.classList.add("stale");
    }
  }
};

/** A slider beside an exact field: drags in half percents, and never changes what was not dragged. */
const slider = (place) => {
  const exact = place.querySelector("input");
  const slide = document.createElement("input");
  Object.assign(slide, { type: "range", min: 0, max: 100, step: 0.5, value: exact.value, id: `${exact.id}-slide` });
  slide.setAttribute("aria-label", `${document.querySelector(`label[for="${exact.id}"]`).textContent} (slider)`);
  slide.addEventListener("input", () => { exact.value = slide.value; });
  exact.addEventListener("input", () => { slide.value = exact.value; });
  place.prepend(slide);
};

document.querySelectorAll("[data-slide]").forEach(slider);
if (document.querySelector("[data-live]")) keep();
