// Figures: drawn as they come near, in the page's colours, as wide as their place.
const gridless = (() => {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const looks = JSON.parse(document.getElementById("plot-looks").textContent);
  const config = {
    displaylogo: false,
    displayModeBar: "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d"],
    // Without these two Plotly offers a button that sends the figure to its makers' server.
    showSendToCloud: false,
    plotlyServerURL: "",
  };
  // Where nothing can hover, Plotly would show its buttons for ever, over the data.
  const bare = { ...config, displayModeBar: false };
  const canHover = window.matchMedia("(hover: hover)").matches;
  const drawn = new Set();

  // On a narrow screen the legend takes a line per entry, which must not come out of the plot's own height.
  const heightOf = (place, figure) => {
    const entries = figure.layout.showlegend === false ? 0 : figure.data.filter((t) => t.showlegend !== false).length;
    return figure.layout.height + (place.clientWidth < 520 && entries > 2 ? 17 * entries : 0);
  };
  const figureOf = (place) => JSON.parse(document.getElementById(place.dataset.figure).textContent);

  // Plotly is run with the first figure.
  const wake = () => {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  };
  const draw = (place, look = dark.matches ? "dark" : "light") => {
    wake();
    const figure = figureOf(place);
    const height = heightOf(place, figure);
    place.style.height = `${height}px`;
    // Titles of axes don't wrap: on a narrow screen they are set smaller.
    const axes = {};
    if (place.clientWidth < 520) {
      for (const axis of ["xaxis", "yaxis"]) {
        const title = figure.layout[axis]?.title;
        if (title) axes[axis] = { ...figure.layout[axis], title: { ...title, font: { size: 11.5 } } };
      }
    }
    const layout = { ...figure.layout, ...axes, width: place.clientWidth, height, template: looks[look] };
    const small = place.closest(".small") !== null;
    Plotly.react(place, figure.data, layout, canHover && !small ? config : bare);
    drawn.add(place);
  };
  const every = () => document.querySelectorAll(".plot");
  const again = (look) => { for (const place of drawn) if (place.isConnected) draw(place, look); };

  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      if (!drawn.has(target)) draw(target);
    }
  }, { rootMargin: "800px 0px" });
  // The rest follows, one at a time, while the reader reads.
  const idle = window.requestIdleCallback ?? ((call) => setTimeout(call, 50));
  const drawNext = () => {
    const next = [...every()].find((place) => !drawn.has(place));
    if (!next) return;
    draw(next);
    idle(drawNext);
  };
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      // No width at all: hidden for a moment, by a tool that takes a picture of the page, say.
      if (drawn.has(target) && target.clientWidth && target.clientWidth !== target._fullLayout?.width) draw(target);
    }
  });
  const watch = (root = document) => {
    for (const place of root.querySelectorAll(".plot")) {
      near.observe(place);
      resized.observe(place);
    }
    idle(drawNext);
  };
  if (document.readyState === "complete") idle(() => watch());
  else window.addEventListener("load", () => idle(() => watch()));
  dark.addEventListener("change", () => again());
  window.addEventListener("beforeprint", () => { for (const place of every()) draw(place, "light"); });
  window.addEventListener("afterprint", () => again());
  const forget = (place) => {
    if (drawn.delete(place)) Plotly.purge(place);
    near.unobserve(place);
    resized.unobserve(place);
  };
  return { watch, forget };
})();
