// The page itself: what is open, the keys, and the colours.

const VIEWS = {
  board: ["Board", () => boardView()],
  compare: ["Compare", () => compareView()],
  model: ["Model", (trial) => modelView(trial ?? lastModel())],
  progress: ["Progress", () => progressView()],
  cost: ["Time and score", () => costView()],
  parameters: ["Parameters", () => parametersView()],
  families: ["Families", () => familiesView()],
  slots: ["Slots", () => slotsView()],
  failures: ["Failures", () => failuresView()],
  spared: ["Spared", () => sparedView()],
  run: ["Run", () => runView()],
};
const OF_EVERY_DATASET = new Set(["slots", "run", "spared", "failures", "model", "compare"]);

const KEYS = [
  ["1 … 9, 0", "the views, from left to right"],
  ["/", "search the board"],
  ["f", "the filter box"],
  ["↑ ↓", "rows of the board"],
  ["Enter", "open a model"],
  ["x", "take a row into the comparison"],
  ["c", "compare"],
  ["b", "the board"],
  ["t", "light or dark"],
  ["?", "these keys"],
  ["Esc", "out of a box, or back to the board"],
];

let lastOpened = null;
const lastModel = () => lastOpened ?? state.best.get(state.dataset)?.trial ?? "";

function route() {
  const [view, ...rest] = location.hash.slice(1).split("/");
  let argument;
  try {
    argument = rest.length ? decodeURIComponent(rest.join("/")) : undefined;
  } catch {
    argument = undefined;
  }
  return { view: view in VIEWS ? view : "board", argument };
}

function draw() {
  const { view, argument } = route(),
    [name, make] = VIEWS[view],
    focused = document.activeElement?.id;
  if (view === "model") lastOpened = argument ?? lastModel();
  for (const place of document.querySelectorAll(".chart")) window.Plotly?.purge(place);
  board.table?.destroy();
  board.table = null;
  document.title = `${name} – ${state.run.name}`;
  drawHeader();
  drawTabs();
  fill(document.getElementById("scope"), scopeBar(view));
  fill(document.getElementById("main"), make(argument));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  [drawnVersion, drawnShape] = [state.version, shape()];
  Object.assign(live, { held: false, drawnAt: performance.now() });
}

let drawnVersion = 0,
  drawnShape = "";
// What the boxes around the board are made of: while it is the same, new rows go into the table that is there.
const shape = () => JSON.stringify([state.datasets.map((d) => d.dataset), state.families, state.paramNames]);

function runState() {
  const { run } = state;
  if (!state.there) return "folder is gone";
  if (run.state === "") return "not started";
  if (run.state !== "unfinished") return run.state;
  return state.alive === null
    ? "not ended"
    : state.alive
      ? "running"
      : "ended without a word; the same command resumes it";
}

function drawHeader() {
  const text = runState(),
    kind =
      text === "running"
        ? "running"
        : text === "finished"
          ? "complete"
          : text.startsWith("ended") || text.startsWith("folder")
            ? "failed"
            : "pruned";
  fill(
    document.getElementById("title"),
    el("strong", {}, state.run.name),
    el("span", { class: `state ${kind}`, title: state.run.reason || null }, text),
    el("span", { class: "note", id: "asof" }, asOf()),
  );
}

const asOf = () =>
  content.live
    ? live.trouble
      ? live.trouble
      : `live, ${clock(state.at, { date: false })}`
    : `as of ${clock(state.at)}`;

let drawnTabs = "";

function drawTabs() {
  const { view } = route(),
    now = `${view} ${state.chosen.size}`;
  if (now === drawnTabs) return; // whoever is on a tab by the keyboard stays there
  drawnTabs = now;
  fill(
    document.getElementById("tabs"),
    Object.entries(VIEWS).map(([name, [label]]) =>
      el(
        "a",
        { href: `#${name}`, id: `tab-${name}`, "aria-current": name === view ? "page" : null },
        label,
        name === "compare" && state.chosen.size ? el("span", { class: "badge" }, state.chosen.size) : null,
      ),
    ),
  );
  const current = document.querySelector("#tabs [aria-current]"),
    tabs = document.getElementById("tabs");
  if (
    current &&
    (current.offsetLeft < tabs.scrollLeft ||
      current.offsetLeft + current.offsetWidth > tabs.scrollLeft + tabs.clientWidth)
  )
    tabs.scrollLeft = current.offsetLeft - 24;
}

function scopeBar(view) {
  const toggle = (family) => {
    state.hidden.has(family) ? state.hidden.delete(family) : state.hidden.add(family);
    draw();
  };
  const only = (family) => {
    state.hidden = new Set(state.families.filter((other) => other !== family));
    draw();
  };
  const datasets =
    state.datasets.length > 1 && !OF_EVERY_DATASET.has(view) && !(view === "board" && board.everyDataset);
  if (view === "model" || view === "compare" || view === "run" || view === "slots") return [];
  return [
    datasets
      ? el(
          "label",
          {},
          "dataset ",
          el(
            "select",
            {
              id: "dataset",
              onchange: (event) => {
                state.dataset = event.target.value;
                draw();
              },
            },
            state.datasets
              .filter((d) => d.direction)
              .map((d) => el("option", { value: d.dataset, selected: d.dataset === state.dataset }, d.dataset)),
          ),
        )
      : null,
    el(
      "div",
      { class: "chips", role: "group", "aria-label": "Families" },
      state.families.map((family) =>
        el(
          "button",
          {
            class: "chip",
            id: `family-${family}`,
            "aria-pressed": String(!state.hidden.has(family)),
            title: "Show or hide; double-click for this one alone",
            onclick: () => toggle(family),
            ondblclick: () => only(family),
          },
          el("i", { class: "dot", style: { background: colourOf(family) } }),
          family,
        ),
      ),
      state.hidden.size
        ? el(
            "button",
            {
              class: "chip",
              onclick: () => {
                state.hidden.clear();
                draw();
              },
            },
            "all",
          )
        : null,
    ),
  ];
}

// Colours: as the system has it, until the person chooses.

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function changeTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  remember("theme", document.documentElement.dataset.theme);
  draw();
}

function keyHelp() {
  const dialog = el(
    "dialog",
    { id: "keys", "aria-label": "Keys" },
    el("h2", {}, "Keys"),
    el(
      "dl",
      { class: "facts" },
      KEYS.map(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)]),
    ),
    el("form", { method: "dialog" }, el("button", {}, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape") {
    const menu = document.querySelector("details[open]");
    if (menu) menu.open = false;
    else if (typing) typing.blur();
    else if (route().view !== "board") location.hash = "#board";
    return;
  }
  if (typing) return;
  const number = "1234567890".indexOf(event.key),
    names = Object.keys(VIEWS);
  const toBox = (id) => {
    if (route().view !== "board") {
      location.hash = "#board";
      draw();
    }
    document.getElementById(id)?.focus();
  };
  const actions = {
    "/": () => toBox("search"),
    f: () => toBox("where"),
    "?": keyHelp,
    t: changeTheme,
    c: () => {
      location.hash = "#compare";
    },
    b: () => {
      location.hash = "#board";
    },
  };
  if (number >= 0 && names[number]) location.hash = `#${names[number]}`;
  else if (event.key in actions) actions[event.key]();
  else return;
  event.preventDefault();
}

function begin() {
  const theme = remembered("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  takeIn(content);
  fill(
    document.getElementById("page"),
    el(
      "header",
      { class: "top" },
      el("div", { id: "title" }),
      el("span", { class: "spring" }),
      el(
        "button",
        { class: "quiet", title: "Light or dark  t", "aria-label": "Light or dark", onclick: changeTheme },
        "◐",
      ),
      el("button", { class: "quiet", title: "Keys  ?", "aria-label": "Keys", onclick: keyHelp }, "?"),
    ),
    el("nav", { id: "tabs", "aria-label": "Views" }),
    el("div", { id: "scope" }),
    el("main", { id: "main", tabindex: -1 }),
  );
  addEventListener("hashchange", () => {
    draw();
    // What had the keyboard is gone, as a row that was opened: it goes on where the view begins.
    if (document.activeElement === document.body) document.getElementById("main").focus({ preventScroll: true });
    scrollTo(0, 0);
  });
  addEventListener("keydown", keys);
  addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]"))
      if (!menu.contains(event.target)) menu.open = false;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  draw();
  if (content.live) setTimeout(poll, content.live.poll_s * 1000);
}

begin();
