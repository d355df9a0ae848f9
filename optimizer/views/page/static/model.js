// One model in detail: what it is, its folds, and its out-of-fold predictions as its task asks.

function modelView(trial) {
  const row = state.rows.get(trial);
  if (!row) return [empty(trial ? `There is no model ${trial} in this run.` : "No model is open.", "Open one from the board: click its row, or Enter on it.")];
  const best = state.best.get(row.dataset);
  const plots = el("div", { class: "grid" }, el("span", { class: "waiting" }, "loading the predictions"));
  plotsOf(row).then((found) => plots.isConnected && fill(plots, outOfFold(found, row)))
    .catch((error) => fill(plots, empty("The predictions cannot be shown.", String(error.message ?? error))));
  return [modelHead(row), el("div", { class: "grid" }, factsCard(row, best), paramsCard(row, best), foldsCard(row, best)),
    el("h2", { class: "part" }, "Out of fold", el("small", {}, "each row as predicted by the model that did not see it")), plots];
}

function modelHead(row) {
  const ranked = [...state.rows.values()].filter((other) => other.dataset === row.dataset && other.rank).sort((a, b) => a.rank - b.rank);
  const to = (place, text, title) => (row.rank && ranked[place] ? el("a", { class: "button", href: `#model/${encodeURIComponent(ranked[place].trial)}`, title }, text) : null);
  const chosen = state.chosen.has(row.trial);
  return el("div", { class: "head" }, el("h1", {}, el("i", { class: "dot", style: { background: colourOf(row.family) } }), row.trial), stateMark(row), el("span", { class: "spring" }),
    to(row.rank - 2, "‹ better", "The model one rank higher"), to(row.rank, "worse ›", "The model one rank lower"),
    el("button", { id: "pick", "aria-pressed": String(chosen), onclick: () => { choose(row.trial, !chosen); draw(); } }, chosen ? "In the comparison" : "Compare"));
}

function factsCard(row, best) {
  const slot = state.slots.find((s) => s.name === row.slot), away = best && row.score != null ? row.score - best.score : null;
  const kept = [row.models_kept ? "models" : null, row.predictions === "kept" ? "predictions" : null].filter(Boolean).join(" and ");
  const facts = [
    [metricOf(row.dataset), scoreText(row.score, row.error)],
    ["rank", row.rank ? `${row.rank} of ${[...state.rows.values()].filter((r) => r.dataset === row.dataset && r.rank).length}` : NOTHING],
    ["to the best", away === null ? NOTHING : away === 0 ? "it is the best" : `${away > 0 ? "+" : ""}${away.toPrecision(3)}${row.near ? ", within one standard error" : ""}`],
    ["pooled", scoreText(row.pooled)], ["first look", row.look == null ? null : scoreText(row.look)],
    ["time", `${span(row.seconds)}, ${percent(row.seconds ? row.fit_seconds / row.seconds : null)} in fits`], ["CPU time", span(row.cpu_seconds)],
    ["memory", row.private_memory ? `${memory(row.memory)}, ${memory(row.private_memory)} alone` : memory(row.memory)],
    ["slot", `${row.slot || NOTHING}${slot ? `, ${count((slot.cores ?? []).length, "core")}` : ""}${row.slots > 1 ? `, ${row.slots} joined` : ""}`],
    ["device", row.device || NOTHING], ["attempt", row.attempt], ["seed", row.seed], ["told", clock(row.at)], ["kept", kept || "nothing"],
    ["failure", row.state === "failed" ? `${row.kind}: ${row.reason}` : null],
    ["predict with it", row.models_kept ? el("code", {}, `optimizer predict ${state.run.name} --model ${row.trial} new.csv`) : null],
  ].filter(([, value]) => value != null);
  return card("Figures", null, el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}

function paramsCard(row, best) {
  const names = Object.keys(row.params), other = best && best.family === row.family && best !== row ? best : null;
  if (!names.length) return card("Parameters", null, empty("Nothing of it was searched."));
  return card("Parameters", other ? `beside those of the best ${row.family}, number ${other.number}` : null,
    smallTable(["parameter", ">value", ...(other ? [">best"] : [])], names.map((name) => [name, valueText(row.params[name]),
      ...(other ? [el("span", { class: valueText(other.params[name]) === valueText(row.params[name]) ? "same" : null }, valueText(other.params[name]))] : [])])));
}

function foldsCard(row, best) {
  if (!row.fold_scores.length) return card("Folds", null, empty("No fold was scored.", row.look != null ? "A first, cheap fit was hopeless." : row.reason));
  const other = best && best !== row ? best : null, steps = row.fold_scores.map((_, i) => `${i + 1}`);
  const line = (of, name, colour, dash) => ({ type: "scatter", mode: "lines+markers", name: plain(name), x: steps, y: of.fold_scores,
    line: { color: colour, dash, width: 2 }, marker: { size: 7 }, hovertemplate: "fold %{x}: %{y}<extra></extra>" });
  const d = state.byName.get(row.dataset);
  return card("Folds", `${row.fold_scores.length} of ${(d?.folds ?? 0) * (d?.repeats ?? 1)}${row.cut ? "; the last fit was cut short" : ""}`,
    chart("Score of each fold", [...(other ? [line(other, `best: ${other.family}/${other.number}`, cssColour("--dim"), "dot")] : []), line(row, `${row.family}/${row.number}`, colourOf(row.family))],
      { xaxis: { title: { text: "fold" }, type: "category" }, yaxis: { title: { text: plain(metricOf(row.dataset)) } }, showlegend: Boolean(other) }, { height: 220 }),
    smallTable(["fold", ">score", ">to the best", ">time", ">iterations"], row.fold_scores.map((score, i) => [i + 1, scoreText(score),
      other?.fold_scores[i] == null || score == null ? NOTHING : `${score >= other.fold_scores[i] ? "+" : ""}${(score - other.fold_scores[i]).toPrecision(2)}`,
      span(row.step_seconds[i]), row.best_iterations[i] ?? NOTHING])));
}

// Plots by the task.

function outOfFold(found, row) {
  if (found.missing) return [empty("No out-of-fold plots.", found.missing)];
  const rows = `${found.rows.toLocaleString("en")} rows${found.shown < found.rows ? `, ${found.shown.toLocaleString("en")} of them looked at` : ""}`;
  return found.task === "regression" ? regressionCards(found, row, rows) : classificationCards(found, row, rows);
}

const diagonal = (low, high) => ({ type: "scatter", mode: "lines", x: [low, high], y: [low, high], hoverinfo: "skip", showlegend: false,
  line: { color: cssColour("--line-strong"), dash: "dot", width: 1 } });

function classificationCards(found, row, rows) {
  const several = found.curves.length > 1, colour = (i) => (several ? PALETTE[i % PALETTE.length] : colourOf(row.family));
  const curve = (one, i, part, figure) => ({ type: "scatter", mode: "lines", name: plain(`${one.label}  ${figure.toFixed(4)}`), x: one[part].x, y: one[part].y,
    line: { color: colour(i), width: 2 }, hovertemplate: "%{x:.3f}, %{y:.3f}<extra></extra>" });
  const unit = { range: [-0.02, 1.02] }, of = several ? "one class against the others" : `of ${found.positive ?? found.curves[0]?.label}`;
  const none = empty("There is one class only.");
  return [
    card("ROC", `${of}; ${rows}`, found.curves.length ? chart("ROC curve", [diagonal(0, 1), ...found.curves.map((one, i) => curve(one, i, "roc", one.roc.auc))],
      { xaxis: { ...unit, title: { text: "false positive rate" } }, yaxis: { ...unit, title: { text: "true positive rate" } }, showlegend: true }, { height: 320 }) : none),
    card("Precision and recall", of, found.curves.length ? chart("Precision-recall curve", found.curves.map((one, i) => curve(one, i, "pr", one.pr.ap)),
      { xaxis: { ...unit, title: { text: "recall" } }, yaxis: { ...unit, title: { text: "precision" } }, showlegend: true }, { height: 320 }) : none),
    card("Calibration", "of what was predicted, how much came true; bins of equally many rows", chart("Calibration", [diagonal(0, 1),
      ...found.calibration.map((one, i) => ({ type: "scatter", mode: "lines+markers", name: plain(one.label), x: one.predicted, y: one.observed, customdata: one.rows,
        line: { color: colour(i), width: 2 }, marker: { size: 6 }, hovertemplate: "predicted %{x:.3f}, true %{y:.3f}, %{customdata} rows<extra></extra>" }))],
    { xaxis: { ...unit, title: { text: "predicted probability" } }, yaxis: { ...unit, title: { text: "share that came true" } }, showlegend: several }, { height: 320 })),
    card("Confusion", "rows are the truth, columns what the label would be; shades by row", confusionTable(found.confusion)),
  ];
}

function confusionTable({ labels, counts }) {
  const shade = (n, row) => { const all = sum(row); return all ? Math.round(70 * n / all) : 0; };
  const right = sum(labels.map((_, i) => counts[i][i])), all = sum(counts.map(sum));
  return [el("div", { class: "scroll" }, el("table", { class: "confusion" },
    el("thead", {}, el("tr", {}, el("th", {}, "truth \\ predicted"), labels.map((label) => el("th", { class: "number" }, label)), el("th", { class: "number" }, "recall"))),
    el("tbody", {}, counts.map((row, i) => el("tr", {}, el("th", {}, labels[i]),
      row.map((n, k) => el("td", { class: `number ${i === k ? "right" : ""}`, style: { "--shade": `${shade(n, row)}%` } }, n.toLocaleString("en"))),
      el("td", { class: "number" }, percent(sum(row) ? row[i] / sum(row) : null, 1))))))),
  el("p", { class: "note" }, `${percent(all ? right / all : null, 2)} of ${all.toLocaleString("en")} rows right`)];
}

function regressionCards(found, row, rows) {
  const { truth, predicted } = found.points, colour = colourOf(row.family), all = [...truth, ...predicted];
  const low = Math.min(...all), high = Math.max(...all), { edges, counts, mean: bias, spread } = found.residuals;
  const points = (x, y, template) => ({ type: "scatter", mode: "markers", x, y, marker: { color: colour, size: 5, opacity: 0.5 }, hovertemplate: template, showlegend: false });
  const level = { type: "scatter", mode: "lines", x: [Math.min(...predicted), Math.max(...predicted)], y: [0, 0], hoverinfo: "skip", showlegend: false, line: { color: cssColour("--line-strong"), dash: "dot", width: 1 } };
  return [
    card("Predicted against true", `${rows}; ${truth.length.toLocaleString("en")} points, the largest misses among them`,
      chart("Predicted against true", [diagonal(low, high), points(truth, predicted, "true %{x}, predicted %{y}<extra></extra>")],
        { xaxis: { title: { text: "true" } }, yaxis: { title: { text: "predicted" } } })),
    card("Residuals", "predicted less true, over what was predicted", chart("Residuals over predictions", [level, points(predicted, predicted.map((p, i) => p - truth[i]), "predicted %{x}, off by %{y}<extra></extra>")],
      { xaxis: { title: { text: "predicted" } }, yaxis: { title: { text: "predicted less true" } } })),
    card("How far off", `mean ${bias.toPrecision(3)}, standard deviation ${spread.toPrecision(3)}`, chart("Histogram of residuals",
      [{ type: "bar", x: counts.map((_, i) => (edges[i] + edges[i + 1]) / 2), y: counts, marker: { color: colour }, hovertemplate: "%{x:.4g}: %{y} rows<extra></extra>" }],
      { bargap: 0.04, xaxis: { title: { text: "predicted less true" } }, yaxis: { title: { text: "rows" } } })),
  ];
}
