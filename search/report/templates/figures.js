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

  const printing = () => document.documentElement.classList.contains("printing");
  const PAPER = 650; // the tallest figure that shares a page with its title and caption

  // Where there is little room the legend takes a line per entry, which must not come out of the plot's own height.
  const heightOf = (place, figure) => {
    const entries = figure.layout.showlegend === false ? 0 : figure.data.filter((t) => t.showlegend !== false).length;
    const height = figure.layout.height + (place.clientWidth < 620 && entries > 2 ? 17 * (entries - 1) : 0);
    return printing() ? Math.min(height, place.closest(".small") ? 165 : PAPER) : height;
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
    const font = printing() ? { font: { ...figure.layout.font, size: 10 } } : {};
    const layout = { ...figure.layout, ...axes, ...font, width: place.clientWidth, height, template: looks[look] };
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
  // On paper: everything opened, and figures and tables as wide as the page. Browsers lay the paper out only later,
  // so they are measured on a screen that is as narrow; drawings scale, should the paper be another.
  let closed = [];
  const tables = () => document.querySelectorAll(".scroll > table");
  const wrap = (table) => {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    table.classList.add("wrapped");
    for (const row of table.tBodies[0].querySelectorAll("tr:not([hidden])")) {
      const cells = [...row.cells].filter((cell) => cell.matches(".param") && cell.dataset.value !== "");
      const rest = document.createElement("tr");
      rest.className = "rest";
      rest.insertCell().colSpan = row.cells.length - row.querySelectorAll(".param").length;
      rest.cells[0].textContent = cells.map((cell) => `${names[cell.cellIndex]} ${cell.textContent}`).join(" · ");
      row.after(rest);
    }
  };
  window.addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
    for (const place of every()) {
      draw(place, "light");
      for (const svg of place.querySelectorAll(".main-svg")) {
        svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
      }
    }
    for (const table of tables()) {
      const room = table.parentElement.clientWidth;
      if (table.querySelector("th.param") && table.offsetWidth > room) wrap(table);
      table.style.zoom = Math.min(1, room / table.offsetWidth);
    }
  });
  window.addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    for (const one of closed) one.open = false;
    for (const table of tables()) {
      table.style.zoom = "";
      table.classList.remove("wrapped");
    }
    for (const row of document.querySelectorAll("tr.rest")) row.remove();
    for (const svg of document.querySelectorAll(".main-svg")) svg.removeAttribute("viewBox");
    again();
  });
  const forget = (place) => {
    if (drawn.delete(place)) Plotly.purge(place);
    near.unobserve(place);
    resized.unobserve(place);
  };
  return { watch, forget };
})();
