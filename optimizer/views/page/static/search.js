// How the search went: score over time, time against score, families side by side.

const scored = (rows) => rows.filter((row) => row.score != null && row.state !== "failed");

function noScores() {
  return empty(
    `No model of ${state.dataset ?? "any dataset"} has a score yet.`,
    state.hidden.size ? "Some families are hidden above." : "The plots appear with the first complete models.",
  );
}

function progressView() {
  const rows = scored(shownRows()).sort((a, b) => a.at - b.at),
    complete = rows.filter((row) => row.state === "complete");
  if (!complete.length) return [noScores()];
  const { divide, unit } = timeUnit(ranUntil(rows.at(-1).at));
  const time = (row) => ranUntil(row.at) / divide,
    going = state.run.state === "unfinished" && !state.byName.get(state.dataset).finished,
    end = ranUntil(Math.max((going && state.run.ended) || 0, rows.at(-1).at)) / divide;
  const steps = [...groupBy(complete, (row) => row.family)].map(([family, of]) => {
    const x = [],
      y = [],
      text = [],
      trials = [];
    let best = null;
    for (const row of of) {
      if (best !== null && !isBetter(state.dataset, row.score, best.score)) continue;
      best = row;
      x.push(time(row));
      y.push(row.score);
      text.push(plain(hover(row)));
      trials.push(row.trial);
    }
    x.push(end);
    y.push(best.score);
    text.push(plain(hover(best)));
    trials.push(best.trial);
    return {
      type: "scatter",
      mode: "lines",
      name: plain(family),
      legendgroup: family,
      x,
      y,
      text,
      customdata: trials,
      line: { shape: "hv", color: colourOf(family), width: 2 },
      hovertemplate: "%{text}<extra></extra>",
    };
  });
  const points = cloud(rows, time, (row) => row.score, hover, { showlegend: false }).map((trace) => ({
    ...trace,
    marker: { ...trace.marker, size: 4, opacity: 0.35 },
  }));
  return [
    card(
      "Score over time",
      `${betterText(state.dataset)}; lines are the best so far of each family, points are models. Double-click shows all scores; click a point to open its model`,
      chart(
        "Best score over time by family",
        [...points, ...steps],
        {
          xaxis: { title: { text: `${unit} that the run has run` } },
          yaxis: { title: { text: plain(metricOf(state.dataset)) }, range: scoreRange(rows, state.dataset) },
        },
        { height: 460, pick: openModel },
      ),
    ),
    card("When each family found its best", null, familyMilestones(complete)),
  ];
}

function timeUnit(seconds) {
  if (seconds > 2 * 3600) return { divide: 3600, unit: "hours" };
  return seconds > 180 ? { divide: 60, unit: "minutes" } : { divide: 1, unit: "seconds" };
}

// Seconds for which the run had been running by then: while it was stopped nothing was searched.
const ranUntil = (at) => sum(state.run.times.map(([began, ended]) => clamp(at - began, 0, Math.max(0, ended - began))));

function familyMilestones(complete) {
  return smallTable(
    ["family", "best model", ">score", ">found after", ">models until then", ">models since"],
    [...groupBy(complete, (row) => row.family)].map(([family, of]) => {
      const best = of.reduce((a, b) => (isBetter(state.dataset, b.score, a.score) ? b : a)),
        place = of.indexOf(best);
      return [
        familyMark(family),
        trialLink(best.trial, `${best.number}`),
        scoreText(best.score, best.error),
        span(ranUntil(best.at)),
        place,
        of.length - place - 1,
      ];
    }),
  );
}

// Models that no other beats in both score and time.
function frontier(rows, dataset) {
  const found = [];
  for (const row of [...rows].sort((a, b) => a.seconds - b.seconds || (isBetter(dataset, a.score, b.score) ? -1 : 1))) {
    if (!found.length || isBetter(dataset, row.score, found.at(-1).score)) found.push(row);
  }
  return found;
}

function costView() {
  const rows = scored(shownRows()).filter((row) => row.state === "complete" && row.seconds > 0);
  if (!rows.length) return [noScores()];
  const edge = frontier(rows, state.dataset);
  const line = {
    type: "scatter",
    mode: "lines+markers",
    name: "worth their seconds",
    x: edge.map((row) => row.seconds),
    y: edge.map((row) => row.score),
    text: edge.map((row) => plain(hover(row))),
    customdata: edge.map((row) => row.trial),
    hovertemplate: "%{text}<extra></extra>",
    line: { shape: "hv", color: cssColour("--ink"), width: 1.5, dash: "dot" },
    marker: { color: cssColour("--ink"), size: 8, symbol: "circle-open", line: { width: 2 } },
  };
  return [
    card(
      "Time against score",
      `${betterText(state.dataset)}; complete models. Those on the line are beaten by no model that is as quick`,
      chart(
        "Seconds against score",
        [
          ...cloud(
            rows,
            (row) => row.seconds,
            (row) => row.score,
            hover,
          ),
          line,
        ],
        {
          xaxis: { ...logAxis(rows.map((row) => row.seconds)), title: { text: "seconds of the whole trial" } },
          yaxis: { title: { text: plain(metricOf(state.dataset)) }, range: scoreRange(rows, state.dataset) },
        },
        { height: 460, pick: openModel },
      ),
    ),
    card(
      "Worth their seconds",
      null,
      smallTable(
        ["model", "family", ">score", ">time", ">gain", ">for"],
        edge.map((row, i) => [
          trialLink(row.trial, nameOf(row)),
          familyMark(row.family),
          scoreText(row.score, row.error),
          span(row.seconds),
          i ? Math.abs(row.score - edge[i - 1].score).toPrecision(2) : NOTHING,
          i ? `+${span(row.seconds - edge[i - 1].seconds)}` : NOTHING,
        ]),
      ),
    ),
  ];
}

function familiesView() {
  const rows = shownRows();
  if (!rows.length) return [noScores()];
  const spent = (of) => sum(of.map((row) => (row.seconds ?? 0) * row.slots)),
    whole = spent(rows);
  const best = state.best.get(state.dataset),
    complete = rows.filter((row) => row.state === "complete" && row.score != null);
  const top = new Set(
    [...complete]
      .sort((a, b) => a.rank - b.rank)
      .slice(0, 20)
      .map((row) => row.trial),
  );
  const table = [...groupBy(rows, (row) => row.family)]
    .map(([family, of]) => {
      const whole_ = of.filter((row) => row.state === "complete" && row.score != null),
        leader = [...whole_].sort((a, b) => a.rank - b.rank)[0];
      const stop = state.spared.stops
        .filter((s) => s.family === family && (s.dataset === null || s.dataset === state.dataset))
        .at(-1);
      return {
        rank: leader?.rank ?? Infinity,
        cells: [
          familyMark(family),
          leader ? scoreText(leader.score, leader.error) : NOTHING,
          leader ? trialLink(leader.trial, `${leader.number}`) : NOTHING,
          leader && best ? (leader === best ? "best" : (leader.score - best.score).toPrecision(2)) : NOTHING,
          whole_.length ? scoreText(median(whole_.map((row) => row.score)), leader.error, false) : NOTHING,
          whole_.filter((row) => row.near).length,
          whole_.filter((row) => top.has(row.trial)).length,
          whole_.length,
          of.filter((row) => row.state === "pruned").length,
          of.filter((row) => row.state === "failed").length,
          span(spent(of)),
          percent(whole ? spent(of) / whole : null),
          whole_.length ? span(median(whole_.map((row) => row.seconds))) : NOTHING,
          whole_.length ? memory(largest(whole_.map((row) => row.memory))) : NOTHING,
          el(
            "span",
            { class: "cut", title: stop?.reason },
            stop ? `${stop.moved ? "moved" : "stopped"}: ${stop.reason}` : "",
          ),
        ],
      };
    })
    .sort((a, b) => a.rank - b.rank)
    .map((line) => line.cells);
  const boxes = [...groupBy(complete, (row) => row.family)].map(([family, of]) => ({
    type: "box",
    name: plain(family),
    y: of.map((row) => row.score),
    customdata: of.map((row) => row.trial),
    text: of.map((row) => plain(hover(row))),
    marker: { color: colourOf(family), size: 3, opacity: 0.5 },
    line: { width: 1.5 },
    boxpoints: "outliers",
    hovertemplate: "%{text}<extra></extra>",
    showlegend: false,
  }));
  return [
    card(
      "Families side by side",
      `${state.dataset}: ${betterText(state.dataset)}`,
      smallTable(
        [
          "family",
          ">best",
          ">model",
          ">to the best",
          ">median",
          ">within 1 s.e.",
          ">of the best 20",
          ">complete",
          ">pruned",
          ">failed",
          ">time",
          ">share",
          ">each",
          ">memory",
          "",
        ],
        table,
        { id: "families-table" },
      ),
    ),
    boxes.length
      ? card(
          "Scores of complete models",
          "boxes are the middle half; double-click shows all",
          chart(
            "Scores by family",
            boxes,
            { yaxis: { title: { text: plain(metricOf(state.dataset)) }, range: scoreRange(complete, state.dataset) } },
            { height: 380, pick: openModel },
          ),
        )
      : null,
  ];
}
