// The columns that the board can have, and what a person has chosen of them.

const FIELD_COLUMNS = {
  rank: { label: "rank", number: true, value: (row) => row.rank },
  trial: {
    label: "trial",
    value: (row) => row.trial,
    order: (row) => `${row.dataset} ${row.family} ${String(row.number).padStart(9, "0")}`,
    show: (row) => trialLink(row.trial, shortName(row)),
  },
  dataset: { label: "dataset", value: (row) => row.dataset },
  family: { label: "family", value: (row) => row.family, show: (row) => familyMark(row.family) },
  score: {
    label: "score",
    number: true,
    value: (row) => row.score,
    show: (row) =>
      el(
        "span",
        { class: row.near ? "near" : null, title: row.near ? "within one standard error of the best" : null },
        scoreText(row.score, row.error),
      ),
  },
  error: {
    label: "std. error",
    number: true,
    value: (row) => row.error,
    show: (row) => (row.error == null ? NOTHING : row.error.toPrecision(2)),
  },
  near: {
    label: "1 s.e.",
    title: "within one standard error of the best of its dataset",
    value: (row) => row.near,
    order: (row) => (row.near ? 0 : 1),
    show: (row) => (row.near ? "yes" : ""),
  },
  pooled: {
    label: "pooled",
    title: "score of the out-of-fold predictions taken together",
    number: true,
    value: (row) => row.pooled,
    show: (row) => scoreText(row.pooled),
  },
  folds: { label: "folds", number: true, value: (row) => row.fold_scores.length },
  seconds: { label: "time", number: true, value: (row) => row.seconds, show: (row) => span(row.seconds) },
  fit_seconds: {
    label: "in fits",
    number: true,
    value: (row) => row.fit_seconds,
    show: (row) => span(row.fit_seconds),
  },
  cpu_seconds: {
    label: "CPU time",
    number: true,
    value: (row) => row.cpu_seconds,
    show: (row) => span(row.cpu_seconds),
  },
  memory: { label: "memory", number: true, value: (row) => row.memory, show: (row) => memory(row.memory) },
  max_rows: {
    label: "rows fitted",
    title: "training rows of a fold that its fits were made on at most; nothing where it was all of them",
    number: true,
    value: (row) => row.max_rows,
    show: (row) => (row.max_rows == null ? "" : row.max_rows.toLocaleString("en")),
  },
  slot: { label: "slot", value: (row) => row.slot },
  device: { label: "device", value: (row) => row.device },
  state: { label: "state", value: (row) => row.state, show: (row) => stateMark(row) },
  attempt: { label: "attempt", number: true, value: (row) => row.attempt },
  at: { label: "told", number: true, value: (row) => row.at, show: (row) => clock(row.at) },
  reason: {
    label: "reason",
    value: (row) => row.reason,
    show: (row) => el("span", { class: "cut", title: row.reason }, row.reason),
  },
};
const FIRST_COLUMNS = [
  "rank",
  "trial",
  "family",
  "score",
  "pooled",
  "folds",
  "seconds",
  "memory",
  "slot",
  "state",
  "at",
];
const NARROW_COLUMNS = ["rank", "trial", "score", "seconds"];

function remembered(name) {
  try {
    return JSON.parse(localStorage.getItem(`optimizer.${name}`));
  } catch {
    return null;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`optimizer.${name}`, JSON.stringify(value));
  } catch {
    /* a file may have no storage */
  }
}

const shortName = (row) => (board.everyDataset ? row.trial : `${row.family}/${row.number}`);

function stateMark(row) {
  const text =
    row.state === "failed" ? row.kind || "failed" : row.predictions === "evicted" ? `${row.state}, evicted` : row.state;
  return el("span", { class: `state ${row.state}` }, text);
}

function columnOf(name) {
  if (name in FIELD_COLUMNS) return FIELD_COLUMNS[name];
  const key = name.slice("param:".length);
  return {
    label: key,
    value: (row) => row.params[key] ?? null,
    show: (row) => valueText(row.params[key]),
    number: [...state.rows.values()].every((row) => row.params[key] == null || typeof row.params[key] === "number"),
  };
}

// Values in order, those that are not there last in either direction.
function orders() {
  const order = window.optimizerTable.jQuery.fn.dataTable.ext.type.order;
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const last = (a, b, sign) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b));
  order["value-asc"] = (a, b) => last(a, b, 1);
  order["value-desc"] = (a, b) => last(a, b, -1);
}

// What the search looks through.
const TEXTS = new WeakMap();

function textOf(row) {
  if (!TEXTS.has(row)) {
    const params = Object.entries(row.params)
      .map(([name, value]) => `${name}=${pythonText(value)}`)
      .join(" ");
    TEXTS.set(
      row,
      `${row.trial} ${row.state} ${row.kind} ${row.reason} ${row.slot} ${row.device} ${params}`.toLowerCase(),
    );
  }
  return TEXTS.get(row);
}
