// The board: every model, sorted, filtered and searched; DataTables carries the table.

const board = {
  search: "",
  where: "",
  low: "",
  high: "",
  state: "",
  everyDataset: false,
  pageLength: 50,
  order: ["rank", "asc"],
  columns: remembered("columns") ?? (innerWidth < 700 ? NARROW_COLUMNS : FIRST_COLUMNS),
  table: null,
  passes: () => true,
  // What of the boxes was understood last: it holds on while there is a mistake in one.
  holding: { low: null, high: null, where: null },
};

function boardView() {
  const tools = boardTools(),
    place = el("div", { class: "board", id: "board-table" }, el("span", { class: "waiting" }, "loading"));
  if (!state.rows.size)
    return [
      summaryCards(),
      empty("No model has been told yet.", "The first rows appear when the first trials are decided."),
    ];
  library("table-code", () => window.optimizerTable)
    .then(() => {
      if (!place.isConnected) return;
      orders();
      makeTable(place);
      performance.mark("table-ready");
    })
    .catch((error) => fill(place, empty("The table cannot be shown.", String(error.message ?? error))));
  return [summaryCards(), tools, place];
}

function boardTools() {
  const input = (name, attributes) =>
    el("input", {
      ...attributes,
      value: board[name],
      autocomplete: "off",
      spellcheck: "false",
      oninput: (event) => {
        board[name] = event.target.value;
        refilter();
      },
    });
  const choice = (name, label, options) =>
    el(
      "select",
      {
        "aria-label": label,
        onchange: (event) => {
          board[name] = event.target.value;
          refilter();
        },
      },
      options.map(([value, text]) => el("option", { value, selected: board[name] === value }, text)),
    );
  return el(
    "div",
    { class: "tools", role: "search" },
    input("search", {
      id: "search",
      type: "search",
      placeholder: "Search  /",
      "aria-label": "Search trials, parameters and reasons",
    }),
    el(
      "div",
      { class: "where" },
      input("where", {
        id: "where",
        type: "text",
        list: "names",
        placeholder: "score > 0.97, max_depth <= 6",
        "aria-label": "Conditions, as of leaderboard --where",
      }),
      el(
        "datalist",
        { id: "names" },
        [...state.fields, ...state.paramNames].map((name) => el("option", { value: `${name} ` })),
      ),
    ),
    el(
      "span",
      { class: "range" },
      "score",
      input("low", { id: "low", type: "text", inputmode: "decimal", placeholder: "from", "aria-label": "Score from" }),
      input("high", { id: "high", type: "text", inputmode: "decimal", placeholder: "to", "aria-label": "Score to" }),
    ),
    choice("state", "State", [
      ["", "every state"],
      ["complete", "complete"],
      ["pruned", "pruned"],
      ["failed", "failed"],
    ]),
    state.datasets.length > 1
      ? el(
          "label",
          { class: "check" },
          el("input", {
            type: "checkbox",
            id: "every",
            checked: board.everyDataset,
            onchange: (event) => {
              board.everyDataset = event.target.checked;
              draw();
            },
          }),
          "all datasets",
        )
      : null,
    el("span", { class: "spring" }),
    columnChooser(),
    el("button", { id: "csv", title: "The rows and columns that are shown, as CSV", onclick: exportShown }, "CSV"),
    el("output", { id: "mistake", class: "mistake" }),
  );
}

function columnChooser() {
  const shown = new Set(board.columns);
  const change = (name, on) => {
    const all = [...Object.keys(FIELD_COLUMNS), ...state.paramNames.map((param) => `param:${param}`)];
    on ? shown.add(name) : shown.delete(name);
    board.columns = all.filter((other) => shown.has(other));
    remember("columns", board.columns);
    const place = document.getElementById("board-table");
    if (place && board.columns.length) makeTable(place);
  };
  const box = (name, label) =>
    el(
      "label",
      { class: "check" },
      el("input", {
        type: "checkbox",
        checked: shown.has(name),
        "data-column": name,
        onchange: (event) => change(name, event.target.checked),
      }),
      label,
    );
  return el(
    "details",
    { class: "menu", id: "columns" },
    el("summary", {}, "Columns"),
    el(
      "div",
      { class: "sheet" },
      el("h3", {}, "Figures"),
      Object.entries(FIELD_COLUMNS).map(([name, column]) => box(name, column.label)),
      el("h3", {}, "Parameters"),
      state.paramNames.map((param) => box(`param:${param}`, param)),
    ),
  );
}

const boardRows = () => shownRows({ everyDataset: board.everyDataset });

function makeTable(place) {
  board.table?.destroy();
  const columns = board.columns
    .filter((name) => name in FIELD_COLUMNS || state.paramNames.includes(name.slice(6)))
    .map((name) => ({ name, ...columnOf(name) }));
  const table = el(
    "table",
    { class: "models", "aria-label": "Models" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { class: "pick" }, el("span", { class: "hidden" }, "compare")),
        columns.map((column) =>
          el("th", { class: column.number ? "number" : null, title: column.title, scope: "col" }, column.label),
        ),
      ),
    ),
  );
  fill(place, table);
  const at = Math.max(1, columns.findIndex((column) => column.name === board.order[0]) + 1);
  board.table = window.optimizerTable.jQuery(table).DataTable({
    data: boardRows(),
    order: [[at, board.order[1]]],
    pageLength: board.pageLength,
    autoWidth: false,
    lengthMenu: [25, 50, 100, 500],
    layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: ["pageLength", "paging"] },
    language: {
      info: "_START_ to _END_ of _TOTAL_ models",
      infoFiltered: "(_MAX_ without the filter)",
      infoEmpty: "no model",
      lengthMenu: "_MENU_ a page",
      emptyTable: "No model yet.",
      zeroRecords: "No model fits; loosen the filter.",
      paginate: { first: "«", previous: "‹", next: "›", last: "»" },
    },
    columns: [
      {
        data: null,
        orderable: false,
        searchable: false,
        className: "pick",
        render: (_, type, row) => (type === "display" ? pickBox(row) : ""),
      },
      ...columns.map((column) => ({
        data: (row, type) => {
          if (type === "display") return asNode(column.show ? column.show(row) : valueText(column.value(row)));
          const value = column.order ? column.order(row) : column.value(row);
          return value === undefined || value === "" || typeof value === "object" ? null : value;
        },
        type: "value",
        searchable: false,
        className: column.number ? "number" : "",
        orderSequence: ["asc", "desc"],
      })),
    ],
    createdRow: (line, row) => {
      line.tabIndex = -1;
      line.dataset.trial = row.trial;
      line.classList.add(row.state);
      if (row.rank === 1) line.classList.add("best");
    },
    drawCallback: () => {
      const first = table.querySelector("tbody tr[data-trial]");
      if (first) first.tabIndex = 0;
    },
  });
  board.table.search.fixed("page", (_text, row) => board.passes(row));
  board.table.on("order", () => {
    const [[column, direction] = []] = board.table.order();
    if (columns[column - 1]) board.order = [columns[column - 1].name, direction];
  });
  board.table.on("length", (_event, _settings, length) => {
    board.pageLength = length;
  });
  board.drawnColumns = columns;
  table.addEventListener("click", (event) => {
    const line = event.target.closest("tbody tr[data-trial]");
    if (line && !event.target.closest("a, input, label, td.pick") && !String(getSelection()))
      openModel(line.dataset.trial);
  });
  table.addEventListener("keydown", rowKeys);
  refilter();
}

// DataTables takes a text for markup, and a node for what it is.
const asNode = (shown) => (shown instanceof Node ? shown : document.createTextNode(String(shown)));

function pickBox(row) {
  return el("input", {
    type: "checkbox",
    checked: state.chosen.has(row.trial),
    "aria-label": `compare ${row.trial}`,
    tabindex: -1,
    onchange: (event) => choose(row.trial, event.target.checked),
  });
}

function choose(trial, on) {
  on ? state.chosen.add(trial) : state.chosen.delete(trial);
  drawTabs();
}

function rowKeys(event) {
  const line = event.target.closest("tbody tr[data-trial]");
  if (!line || (event.target.closest("a") && event.key === "Enter")) return;
  const to = { ArrowDown: line.nextElementSibling, ArrowUp: line.previousElementSibling }[event.key];
  if (to?.dataset.trial) {
    for (const other of line.parentElement.children) other.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  } else if (event.key === "Enter") openModel(line.dataset.trial);
  else if (event.key === " " || event.key === "x") line.querySelector("td.pick input").click();
  else return;
  event.preventDefault();
}

function limit(text) {
  const number = asNumber(text);
  if (text.trim() && number === null) throw new Error(`“${text}” is no number`);
  return number;
}

function refilter() {
  const words = board.search.toLowerCase().split(/\s+/).filter(Boolean),
    mistakes = [];
  for (const [box, read] of [
    ["low", limit],
    ["high", limit],
    ["where", conditions],
  ]) {
    try {
      board.holding[box] = read(board[box]);
    } catch (error) {
      mistakes.push(error.message);
    }
  }
  const { low, high, where: holds } = board.holding,
    mistake = document.getElementById("mistake");
  if (mistake) mistake.textContent = mistakes.join("; ");
  board.passes = (row) =>
    (!board.state || row.state === board.state) &&
    (low === null || (row.score != null && row.score >= low)) &&
    (high === null || (row.score != null && row.score <= high)) &&
    (!holds || holds(row)) &&
    words.every((word) => textOf(row).includes(word));
  board.table?.draw();
}

// New rows while the board is open: where one is stays as it is, and only the table is drawn anew.
function refreshBoard() {
  if (!board.table || !document.getElementById("board-table")) return draw();
  const focused = document.activeElement?.closest?.("tr[data-trial]")?.dataset.trial,
    tile = document.activeElement?.closest?.(".tile")?.id;
  board.table.clear();
  board.table.rows.add(boardRows());
  board.table.draw(false);
  document.querySelector(".cards")?.replaceWith(summaryCards());
  if (focused) document.querySelector(`tr[data-trial="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  if (tile) document.getElementById(tile)?.focus({ preventScroll: true });
  drawnVersion = state.version;
}

function exportShown() {
  const rows = board.table.rows({ search: "applied", order: "applied" }).data().toArray();
  const head = board.drawnColumns.map((column) => column.label);
  download(
    `${state.run.name}-models.csv`,
    csv(
      head,
      rows.map((row) => board.drawnColumns.map((column) => column.value(row) ?? null)),
    ),
  );
}

// What there is at a glance: a card for each dataset.
function summaryCards() {
  return el(
    "div",
    { class: "cards" },
    state.datasets.map((d) => {
      const rows = [...state.rows.values()].filter((row) => row.dataset === d.dataset),
        best = state.best.get(d.dataset);
      const of = (name) => rows.filter((row) => row.state === name).length;
      const choosing = () => {
        state.dataset = d.dataset;
        draw();
      };
      return el(
        "button",
        {
          class: "tile",
          id: `tile-${d.dataset}`,
          "aria-pressed": String(d.dataset === state.dataset),
          // One that could not be used has no models to show.
          onclick: d.direction ? choosing : null,
          "aria-disabled": d.direction ? null : "true",
          title: d.failed || null,
        },
        el("span", { class: "name" }, d.dataset),
        el("span", { class: "under" }, d.direction ? betterText(d.dataset) : ""),
        d.failed
          ? el("span", { class: "mistake" }, "could not be used")
          : el("span", { class: "figure" }, best ? scoreText(best.score, best.error) : NOTHING),
        el(
          "span",
          { class: "under" },
          best
            ? [
                el("i", { class: "dot", style: { background: colourOf(best.family) } }),
                ` ${best.family}/${best.number}`,
                ` · ${rows.filter((row) => row.near).length.toLocaleString("en")} within 1 s.e.`,
              ]
            : "no complete model",
        ),
        el(
          "span",
          { class: "under" },
          ["complete", "pruned", "failed"]
            .filter((name) => name === "complete" || of(name))
            .map((name) => `${of(name).toLocaleString("en")} ${name}`)
            .join(" · "),
        ),
      );
    }),
  );
}
