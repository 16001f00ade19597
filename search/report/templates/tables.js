// Tables: sorted by the buttons in their headers, and filtered by words and comparisons.
gridless.tables = (() => {
  "use strict";
  const sorted = new Map(); // by the table's id: [name of the column, upwards]

  const valueOf = (row, column) => {
    const text = row.cells[column].dataset.value ?? "";
    const number = Number(text);
    return text === "" ? null : Number.isNaN(number) ? text : number;
  };
  // Numbers before words; what is blank stays last in both directions.
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a !== typeof b) return sign * (typeof a === "number" ? -1 : 1);
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
  };
  const sort = (header, up) => {
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const table = header.closest("table");
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, header.cellIndex), row]);
    rows.sort(([a], [b]) => compare(a, b, up ? 1 : -1));
    table.tBodies[0].append(...rows.map(([, row]) => row));
    if (table.id) sorted.set(table.id, [header.dataset.name, up]);
  };
  document.addEventListener("click", (event) => {
    const header = event.target.closest("thead button")?.closest("th");
    if (header) sort(header, header.getAttribute("aria-sort") !== "ascending");
    const more = event.target.closest(".more button");
    if (more) whole.add(more.dataset.table);
    const table = header?.closest("table").id ?? more?.dataset.table;
    if (table) for (const form of document.querySelectorAll(`form.filter[data-table="${table}"]`)) filter(form);
    if (more) document.getElementById(table).closest(".scroll").focus();
  });

  // `lr<0.01` compares with a column, any other word is looked for in the whole row; all must hold.
  const operators = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  };
  const testOf = (word, columns) => {
    const [, name, operator, text] = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/.exec(word) ?? [];
    const column = columns.indexOf(name?.toLowerCase());
    if (column < 0) return (row) => row.textContent.toLowerCase().includes(word.toLowerCase());
    const wanted = Number.isNaN(Number(text)) ? text.toLowerCase() : Number(text);
    return (row) => {
      const value = valueOf(row, column);
      const own = typeof value === "string" ? value.toLowerCase() : value;
      if (own === null || typeof own !== typeof wanted) return operator === "!=" && own !== null;
      return operators[operator](own, wanted);
    };
  };
  const whole = new Set(); // tables whose every row is asked for
  const filter = (form) => {
    const table = document.getElementById(form.dataset.table);
    const columns = [...table.tHead.rows[0].cells].map((cell) => (cell.dataset.name ?? "").toLowerCase());
    const tests = form.elements.words.value.split(/\s+/).filter(Boolean).map((word) => testOf(word, columns));
    if (form.elements.finalists?.checked) tests.push((row) => row.dataset.finalist !== undefined);
    const rows = [...table.tBodies[0].rows];
    const most = whole.has(table.id) ? rows.length : Number(form.dataset.shown);
    let found = 0;
    for (const row of rows) {
      const fits = tests.every((test) => test(row));
      found += fits ? 1 : 0;
      row.hidden = !fits || found > most;
    }
    const first = found > most ? `the first ${most} of ` : "";
    const said = tests.length ? `${found} of ${rows.length} trials` : `${rows.length} trials`;
    form.querySelector("output").textContent = tests.length || first ? first + said : "";
    const more = table.closest("section").querySelector(".more");
    if (more) more.hidden = whole.has(table.id);
  };
  let waiting;
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form.filter");
    clearTimeout(waiting);
    if (form) waiting = setTimeout(() => filter(form), 120);
  });
  document.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.target.matches("form.filter")) filter(event.target);
  });

  // A page that was made anew takes up how its reader had sorted and filtered the old one.
  const restore = (root) => {
    for (const [id, [name, up]] of sorted) {
      const cells = root.querySelector(`#${id}`)?.tHead.rows[0].cells ?? [];
      const header = [...cells].find((cell) => cell.dataset.name === name);
      if (header) sort(header, up);
    }
    for (const form of root.querySelectorAll("form.filter")) filter(form);
  };
  return { restore };
})();
