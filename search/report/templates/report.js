(() => {
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

  // On a narrow screen the legend takes a line per entry, which must not come out of the plot's own height.
  const heightOf = (place, figure) => {
    const entries = figure.layout.showlegend === false ? 0 : figure.data.length;
    return figure.layout.height + (place.clientWidth < 520 && entries > 2 ? 17 * entries : 0);
  };
  const figureOf = (place) => JSON.parse(document.getElementById(place.dataset.figure).textContent);

  const draw = (look, places = document.querySelectorAll(".plot")) => {
    for (const place of places) {
      const figure = figureOf(place);
      const height = heightOf(place, figure);
      place.style.height = `${height}px`;
      const layout = { ...figure.layout, width: place.clientWidth, height, template: looks[look] };
      const small = place.closest(".small") !== null;
      Plotly.react(place, figure.data, layout, canHover && !small ? config : bare);
    }
  };
  const drawAsSeen = () => draw(dark.matches ? "dark" : "light");
  drawAsSeen();
  const resized = new ResizeObserver((entries) => {
    const changed = entries.map((e) => e.target).filter((p) => p.clientWidth !== p._fullLayout?.width);
    if (changed.length) draw(dark.matches ? "dark" : "light", changed);
  });
  for (const place of document.querySelectorAll(".plot")) resized.observe(place);
  dark.addEventListener("change", drawAsSeen);
  window.addEventListener("beforeprint", () => draw("light"));
  window.addEventListener("afterprint", drawAsSeen);

  const valueOf = (row, column) => {
    const text = row.cells[column].dataset.value;
    const number = Number(text);
    return text === "" ? null : Number.isNaN(number) ? text : number;
  };
  // Numbers before words; what is blank stays last in both directions.
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a !== typeof b) return sign * (typeof a === "number" ? -1 : 1);
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
  };

  // Any table with buttons in its header.
  document.addEventListener("click", (event) => {
    const header = event.target.closest("thead button")?.closest("th");
    if (!header) return;
    const column = header.cellIndex;
    const up = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = header.closest("table").tBodies[0];
    const rows = [...body.rows];
    rows.sort((a, b) => compare(valueOf(a, column), valueOf(b, column), up ? 1 : -1));
    body.append(...rows);
  });
})();
