// One model in detail: what it is, its parameters and its folds.

function modelView(trial) {
  const row = state.rows.get(trial);
  if (!row)
    return [
      empty(
        trial ? `There is no model ${trial} in this run.` : "No model is open.",
        "Open one from the board: click its row, or Enter on it.",
      ),
    ];
  const best = state.best.get(row.dataset);
  const plots = el("div", { class: "grid" }, el("span", { class: "waiting" }, "loading the predictions"));
  plotsOf(row)
    .then((found) => plots.isConnected && fill(plots, outOfFold(found, row)))
    .catch((error) => fill(plots, empty("The predictions cannot be shown.", String(error.message ?? error))));
  return [
    modelHead(row),
    el("div", { class: "grid three" }, factsCard(row, best), paramsCard(row, best), foldsCard(row, best)),
    el(
      "h2",
      { class: "part" },
      "Out of fold",
      el("small", {}, "each row as predicted by the model that did not see it"),
    ),
    plots,
  ];
}

function modelHead(row) {
  const ranked = [...state.rows.values()]
    .filter((other) => other.dataset === row.dataset && other.rank)
    .sort((a, b) => a.rank - b.rank);
  const to = (place, text, title) =>
    row.rank && ranked[place]
      ? el("a", { class: "button", href: `#model/${encodeURIComponent(ranked[place].trial)}`, title }, text)
      : null;
  const chosen = state.chosen.has(row.trial);
  return el(
    "div",
    { class: "head" },
    el("h1", {}, el("i", { class: "dot", style: { background: colourOf(row.family) } }), row.trial),
    stateMark(row),
    el("span", { class: "spring" }),
    to(row.rank - 2, "‹ better", "The model one rank higher"),
    to(row.rank, "worse ›", "The model one rank lower"),
    el(
      "button",
      {
        id: "pick",
        "aria-pressed": String(chosen),
        onclick: () => {
          choose(row.trial, !chosen);
          draw();
        },
      },
      chosen ? "In the comparison" : "Compare",
    ),
  );
}

function factsCard(row, best) {
  const slot = state.slots.find((s) => s.name === row.slot),
    away = best && row.score != null ? row.score - best.score : null;
  const kept = [row.models_kept ? "models" : null, row.predictions === "kept" ? "predictions" : null]
    .filter(Boolean)
    .join(" and ");
  const facts = [
    [metricOf(row.dataset), scoreText(row.score, row.error)],
    [
      "rank",
      row.rank
        ? `${row.rank} of ${[...state.rows.values()].filter((r) => r.dataset === row.dataset && r.rank).length}`
        : NOTHING,
    ],
    [
      "to the best",
      away === null
        ? NOTHING
        : away === 0
          ? "it is the best"
          : `${away > 0 ? "+" : ""}${away.toPrecision(3)}${row.near ? ", within one standard error" : ""}`,
    ],
    ["pooled", scoreText(row.pooled)],
    ["first look", row.look == null ? null : scoreText(row.look)],
    ["time", `${span(row.seconds)}, ${percent(row.seconds ? row.fit_seconds / row.seconds : null)} in fits`],
    ["CPU time", span(row.cpu_seconds)],
    ["memory", row.private_memory ? `${memory(row.memory)}, ${memory(row.private_memory)} alone` : memory(row.memory)],
    [
      "slot",
      `${row.slot || NOTHING}${slot ? `, ${count((slot.cores ?? []).length, "core")}` : ""}${row.slots > 1 ? `, ${row.slots} joined` : ""}`,
    ],
    ["fitted on", row.max_rows == null ? null : `at most ${count(row.max_rows, "row")} of a fold`],
    ["device", row.device || NOTHING],
    ["attempt", row.attempt],
    ["seed", row.seed],
    ["told", clock(row.at)],
    ["kept", kept || "nothing"],
    ["failure", row.state === "failed" ? `${row.kind}: ${row.reason}` : null],
    [
      "predict with it",
      row.models_kept ? el("code", {}, `optimizer predict ${state.run.name} --model ${row.trial} new.csv`) : null,
    ],
  ].filter(([, value]) => value != null);
  return card(
    "Figures",
    null,
    el(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
    ),
  );
}

function paramsCard(row, best) {
  const names = Object.keys(row.params),
    other = best && best.family === row.family && best !== row ? best : null;
  if (!names.length) return card("Parameters", null, empty("Nothing of it was searched."));
  return card(
    "Parameters",
    other ? `beside those of the best ${row.family}, number ${other.number}` : null,
    smallTable(
      ["parameter", ">value", ...(other ? [">best"] : [])],
      names.map((name) => [
        name,
        valueText(row.params[name]),
        ...(other
          ? [
              el(
                "span",
                { class: valueText(other.params[name]) === valueText(row.params[name]) ? "same" : null },
                valueText(other.params[name]),
              ),
            ]
          : []),
      ]),
    ),
  );
}

function foldsCard(row, best) {
  if (!row.fold_scores.length)
    return card(
      "Folds",
      null,
      empty("No fold was scored.", row.look != null ? "A first, cheap fit was hopeless." : row.reason),
    );
  const other = best && best !== row ? best : null,
    steps = row.fold_scores.map((_, i) => `${i + 1}`);
  const line = (of, name, colour, dash) => ({
    type: "scatter",
    mode: "lines+markers",
    name: plain(name),
    x: steps,
    y: of.fold_scores,
    line: { color: colour, dash, width: 2 },
    marker: { size: 7 },
    hovertemplate: "fold %{x}: %{y}<extra></extra>",
  });
  const d = state.byName.get(row.dataset);
  return card(
    "Folds",
    `${row.fold_scores.length} of ${(d?.folds ?? 0) * (d?.repeats ?? 1)}${row.cut ? "; the last fit was cut short" : ""}`,
    chart(
      "Score of each fold",
      [
        ...(other ? [line(other, `best: ${other.family}/${other.number}`, cssColour("--dim"), "dot")] : []),
        line(row, `${row.family}/${row.number}`, colourOf(row.family)),
      ],
      {
        xaxis: { title: { text: "fold" }, type: "category" },
        yaxis: { title: { text: plain(metricOf(row.dataset)) } },
        showlegend: Boolean(other),
      },
      { height: 220 },
    ),
    smallTable(
      ["fold", ">score", ">to the best", ">time", ">iterations"],
      row.fold_scores.map((score, i) => [
        i + 1,
        scoreText(score),
        other?.fold_scores[i] == null || score == null
          ? NOTHING
          : `${score >= other.fold_scores[i] ? "+" : ""}${(score - other.fold_scores[i]).toPrecision(2)}`,
        span(row.step_seconds[i]),
        row.best_iterations[i] ?? NOTHING,
      ]),
    ),
  );
}
