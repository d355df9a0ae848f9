// Which parameters matter to a family, and how the score lies along each of them.

const parameters = { family: null, all: false };
const SLICES = 9;

function parametersView() {
  const rows = scored(shownRows()),
    families = state.families.filter((family) => rows.some((row) => row.family === family));
  if (!families.length) return [noScores()];
  if (!families.includes(parameters.family)) parameters.family = state.best.get(state.dataset)?.family ?? families[0];
  if (!families.includes(parameters.family)) parameters.family = families[0];
  const family = parameters.family,
    of = rows.filter((row) => row.family === family);
  const chooser = el(
    "div",
    { class: "tools" },
    el(
      "label",
      {},
      "family ",
      el(
        "select",
        {
          id: "family",
          onchange: (event) => {
            parameters.family = event.target.value;
            draw();
          },
        },
        families.map((name) => el("option", { value: name, selected: name === family }, name)),
      ),
    ),
    el("span", { class: "note" }, `${count(of.length, "scored model")} of ${family} on ${state.dataset}`),
  );
  const importances = card("Importance", null, el("span", { class: "waiting" }, "weighing")),
    slices = el("div", { class: "grid slices" });
  importanceOf(state.dataset, family)
    .then((found) => {
      if (!importances.isConnected) return;
      importances.replaceWith(importanceCard(found));
      const weighed = (found.parameters ?? []).map((p) => p.name);
      fillSlices(slices, of, [...weighed, ...varying(of).filter((name) => !weighed.includes(name))]);
    })
    .catch((error) => fill(importances, empty("The parameters cannot be weighed.", String(error.message ?? error))));
  return [
    chooser,
    importances,
    el(
      "h2",
      { class: "part" },
      "Slices",
      el("small", {}, "each model at its value; pruned ones are pale. Click a point to open its model"),
    ),
    slices,
  ];
}

function varying(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.params)))];
  return names.filter((name) => new Set(rows.map((row) => JSON.stringify(row.params[name]))).size > 1);
}

function importanceCard(found) {
  if (found.missing) return card("Importance", null, empty("The parameters were not weighed.", found.missing));
  const shown = found.parameters.slice(0, 16).reverse();
  const note =
    `how much worse a random forest predicts the score once a parameter is shuffled; over ${count(found.trials, "model")}, of whose scores it explains ${percent(Math.max(0, found.explained))}` +
    (found.explained < 0.2 ? ": too little for the shares to mean much" : "");
  return card(
    "Importance",
    note,
    chart(
      "Importance of parameters",
      [
        {
          type: "bar",
          orientation: "h",
          y: shown.map((p) => plain(p.name)),
          x: shown.map((p) => p.share),
          error_x: {
            type: "data",
            array: shown.map((p) => p.spread),
            color: cssColour("--dim"),
            thickness: 1,
            width: 3,
          },
          marker: { color: colourOf(parameters.family) },
          hovertemplate: "%{y}: %{x:.1%}<extra></extra>",
        },
      ],
      {
        xaxis: { tickformat: ".0%", range: [0, 1.06 * Math.max(...shown.map((p) => p.share + p.spread), 0.01)] },
        yaxis: { type: "category", tickfont: { size: 12 } },
        bargap: 0.3,
      },
      { height: Math.max(140, 26 * shown.length + 50) },
    ),
  );
}

function fillSlices(place, rows, names) {
  const shown = parameters.all ? names : names.slice(0, SLICES),
    range = scoreRange(rows, state.dataset);
  if (!names.length) return fill(place, empty("No parameter took two values."));
  fill(
    place,
    shown.map((name) => card(name, null, slice(rows, name, range))),
  );
  if (names.length > shown.length)
    place.after(
      el(
        "p",
        { class: "centre" },
        el(
          "button",
          {
            onclick: () => {
              parameters.all = true;
              draw();
            },
          },
          `Show ${count(names.length - shown.length, "more parameter")}`,
        ),
      ),
    );
}

function slice(rows, name, range) {
  const there = rows.filter((row) => row.params[name] != null),
    scale = state.spaces[`${state.dataset}/${parameters.family}`]?.[name];
  const numeric = there.every((row) => typeof row.params[name] === "number"),
    log = numeric && scale?.log;
  const trace = (of, opacity) => ({
    type: "scatter",
    mode: "markers",
    x: of.map((row) => (numeric ? row.params[name] : plain(pythonText(row.params[name])))),
    y: of.map((row) => row.score),
    customdata: of.map((row) => row.trial),
    text: of.map((row) => plain(hover(row))),
    hovertemplate: `%{x}<br>%{text}<extra></extra>`,
    showlegend: false,
    marker: { color: colourOf(parameters.family), size: 5, opacity },
  });
  const traces = [
    trace(
      there.filter((row) => row.state === "pruned"),
      0.22,
    ),
    trace(
      there.filter((row) => row.state === "complete"),
      0.6,
    ),
  ];
  const leader = there.filter((row) => row.rank).sort((a, b) => a.rank - b.rank)[0];
  if (leader)
    traces.push({
      ...trace([leader], 1),
      marker: { color: cssColour("--ink"), size: 9, symbol: "circle-open", line: { width: 2 } },
    });
  return chart(
    `Score along ${name}`,
    traces,
    {
      xaxis: log ? logAxis(there.map((row) => row.params[name])) : { type: numeric ? "linear" : "category", nticks: 5 },
      yaxis: { range, nticks: 5 },
      margin: { l: 48, r: 8, t: 6, b: 30 },
    },
    { height: 210, pick: openModel },
  );
}
