// A page that is served: asks for news and takes over the parts that have changed, where the reader is left in peace.
(() => {
  "use strict";
  const said = document.getElementById("watch");
  const pause = document.getElementById("pause");
  const partsOf = (root) => new Map([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  // As they came: what is drawn into them later is no change.
  const source = new Map([...partsOf(document)].map(([name, part]) => [name, part.outerHTML]));
  const focusable = "a, button, input, select, summary, [tabindex]";
  let seen = null;

  // What a reader has moved, by names that outlast the part: others may come in between.
  const moved = {
    ".scroll": [(box) => box.getAttribute("aria-labelledby") ?? box.getAttribute("aria-label"), ["scrollTop", "scrollLeft"]],
    details: [(box) => box.querySelector("summary").textContent, ["open"]],
    input: [(box) => box.name, ["value", "checked"]],
  };
  const kept = (part, selector) => {
    const [nameOf, properties] = moved[selector];
    const values = (box) => properties.map((property) => [property, box[property]]);
    return new Map([...part.querySelectorAll(selector)].map((box) => [nameOf(box), Object.fromEntries(values(box))]));
  };
  const stateOf = (part) => ({
    boxes: Object.keys(moved).map((selector) => [selector, kept(part, selector)]),
    focus: [...part.querySelectorAll(focusable)].indexOf(document.activeElement),
    id: document.activeElement.id,
    caret: document.activeElement.selectionStart,
  });
  const restore = (part, state) => {
    const put = (selector, boxes) => {
      for (const box of part.querySelectorAll(selector)) Object.assign(box, boxes.get(moved[selector][0](box)) ?? {});
    };
    for (const [selector, boxes] of state.boxes) if (selector !== ".scroll") put(selector, boxes);
    gridless.tables.restore(part);
    put(...state.boxes[0]); // rows have come back to where they were
    if (state.focus < 0) return;
    const focused = (state.id && document.getElementById(state.id)) || part.querySelectorAll(focusable)[state.focus];
    focused?.focus({ preventScroll: true });
    if (focused?.matches("[type=search]")) focused.setSelectionRange(state.caret, state.caret);
  };
  const swap = (old, fresh) => {
    const state = stateOf(old);
    const heights = [...old.querySelectorAll(".plot")].map((place) => place.style.height);
    old.querySelectorAll(".plot").forEach(gridless.forget);
    fresh = document.importNode(fresh, true);
    // Until they are drawn the new figures are as tall as the old ones, so that nothing jumps.
    fresh.querySelectorAll(".plot").forEach((place, i) => { place.style.height = heights[i] ?? place.style.height; });
    old.replaceWith(fresh);
    restore(fresh, state);
    gridless.watch(fresh);
  };

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const now = partsOf(document);
    const then = partsOf(fresh);
    const anchor = [...now.values()].find((part) => part.getBoundingClientRect().bottom > 0);
    const top = anchor?.getBoundingClientRect().top;
    if ([...now.keys()].join() !== [...then.keys()].join()) {
      source.clear();
      for (const [name, part] of then) source.set(name, part.outerHTML);
      swap(document.querySelector("main"), fresh.querySelector("main"));
      swap(now.get("head"), then.get("head"));
    } else {
      for (const [name, part] of then) {
        const html = part.outerHTML;
        if (source.get(name) === html) continue;
        source.set(name, html);
        swap(now.get(name), part);
      }
    }
    const same = anchor && document.querySelector(`[data-part="${CSS.escape(anchor.dataset.part)}"]`);
    if (same) window.scrollBy({ top: same.getBoundingClientRect().top - top, behavior: "instant" });
    document.title = fresh.title;
  };

  const ask = async () => {
    if (document.hidden || pause.checked) return;
    let response;
    try {
      response = await fetch(location.pathname, { cache: "no-cache" });
    } catch {
      said.textContent = "Nobody answers any more: gridless report --serve has ended. What you see stays as it is.";
      return;
    }
    if (!response.ok) {
      said.textContent = await response.text();
      return;
    }
    const tag = response.headers.get("ETag");
    if (tag === seen) {
      await response.body?.cancel();
      return;
    }
    take(await response.text());
    said.textContent = `Watching; last change ${new Date().toLocaleTimeString()}.`;
    seen = tag;
  };
  const again = async () => {
    await ask();
    setTimeout(again, Number(said.dataset.every));
  };
  again();
})();
