// The run as the page knows it, and what is chosen of it. Everything drawn is drawn from here.

const content = JSON.parse(document.getElementById("run").textContent);

const state = {
  columns: content.columns,
  fields: content.fields,
  rows: new Map(),
  jobs: [],
  families: [],
  paramNames: [],
  plots: new Map(Object.entries(content.plots ?? {})),
  importance: new Map(Object.entries(content.importance ?? {})),
  dataset: null,
  hidden: new Set(),
  chosen: new Set(),
  version: 0,
};

// Take in all there is, or what changed since.
function takeIn(update) {
  if (update.anew) {
    state.rows.clear();
    state.jobs = [];
    state.plots.clear();
    state.importance.clear();
  }
  Object.assign(state, { at: update.at, alive: update.alive, there: update.there ?? true });
  if (update.generation !== undefined) Object.assign(state, { generation: update.generation, change: update.change });
  if (!update.rows) return false;
  for (const values of update.rows) {
    const row = Object.fromEntries(state.columns.map((name, i) => [name, values[i]]));
    row.number = Number(row.trial.slice(row.trial.lastIndexOf("/") + 1));
    state.rows.set(row.trial, row);
  }
  for (const [place, slot, trial, attempt, start, end, outcome, slots, beganBy] of update.jobs) {
    state.jobs[place] = { slot, trial, attempt, start, end, outcome, slots, beganBy };
  }
  for (const name of [
    "run",
    "datasets",
    "slots",
    "spaces",
    "layouts",
    "layouts_measured",
    "spared",
    "jobs_lost",
    "workers_lost",
    "notices",
    "unreadable",
  ])
    state[name] = update[name];
  // In the order in which they came, so that no colour changes while one looks.
  state.families = [...new Set([...(update.anew ? [] : state.families), ...update.families])];
  state.byName = new Map(state.datasets.map((d) => [d.dataset, d]));
  if (!state.byName.has(state.dataset)) state.dataset = state.datasets.find((d) => d.direction)?.dataset ?? null;
  state.paramNames = [...new Set([...state.rows.values()].flatMap((row) => Object.keys(row.params)))].sort();
  rank();
  state.version++;
  return true;
}

const maximizes = (dataset) => state.byName.get(dataset)?.direction === "maximize";
const isBetter = (dataset, a, b) => (maximizes(dataset) ? a > b : a < b);

// Ranks among the complete trials of a dataset, and who is within one standard error of its best.
function rank() {
  state.best = new Map();
  for (const row of state.rows.values()) [row.rank, row.near] = [null, false];
  for (const [dataset, rows] of groupBy(state.rows.values(), (row) => row.dataset)) {
    if (!state.byName.get(dataset)?.direction) continue;
    const sign = maximizes(dataset) ? -1 : 1;
    const ranked = rows
      .filter((row) => row.state === "complete" && row.score != null)
      .sort((a, b) => sign * (a.score - b.score) || a.at - b.at);
    if (!ranked.length) continue;
    const best = ranked[0],
      reach = best.error ?? 0;
    state.best.set(dataset, best);
    ranked.forEach((row, i) => {
      row.rank = i + 1;
      row.near = Math.abs(row.score - best.score) <= reach;
    });
  }
}

// What the views draw: rows of the chosen dataset (all of them where none is chosen) and families.
function shownRows({ everyDataset = false } = {}) {
  return [...state.rows.values()].filter(
    (row) => !state.hidden.has(row.family) && (everyDataset || row.dataset === state.dataset),
  );
}

const shownFamilies = () => state.families.filter((family) => !state.hidden.has(family));
const metricOf = (dataset) => state.byName.get(dataset)?.metric ?? "score";
const betterText = (dataset) => `${metricOf(dataset)}, ${maximizes(dataset) ? "higher" : "lower"} is better`;
const trialLink = (trial, text = trial) =>
  el("a", { href: `#model/${encodeURIComponent(trial)}`, class: "trial" }, text);

// Plots and importances are in a file, or asked for.
async function ask(path, query) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`, { cache: "no-store" });
  if (!answer.ok && answer.status !== 404) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}

async function plotsOf(row) {
  const key = content.live ? `${row.trial} ${row.attempt} ${row.predictions}` : row.trial;
  if (!state.plots.has(key)) {
    if (!content.live) {
      return {
        missing:
          row.state === "complete"
            ? "A report holds the plots of the best three models of each family; `optimizer serve` shows those of any."
            : `A ${row.state} trial has no out-of-fold predictions of every row.`,
      };
    }
    state.plots.set(key, await ask("plots", { trial: row.trial }));
  }
  return state.plots.get(key);
}

async function importanceOf(dataset, family) {
  const key = `${dataset}/${family}`;
  if (!content.live) return state.importance.get(key) ?? { missing: "no trial" };
  const known = state.importance.get(key),
    now = [...state.rows.values()].filter((row) => row.dataset === dataset && row.family === family).length;
  if (known && now < known.asked * 1.1) return known;
  const found = { ...(await ask("importance", { dataset, family })), asked: now };
  state.importance.set(key, found);
  return found;
}
