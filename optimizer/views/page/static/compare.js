// Chosen models side by side: fold by fold, what they took, and where their parameters differ (optimizer/views/compare.py).

function compareView() {
  const rows = [...state.chosen].map((trial) => state.rows.get(trial)).filter(Boolean);
  if (rows.length < 2) {
    return [
      empty(
        rows.length ? `${rows[0].trial} is chosen; one more is needed.` : "Nothing to compare yet.",
        "Tick two models or more on the board (x on a row), or press Compare on a model's page.",
      ),
      quickComparison(),
    ];
  }
  const first = rows[0],
    alone = rows.every((row) => row.dataset === first.dataset);
  const clear = el(
    "button",
    {
      onclick: () => {
        state.chosen.clear();
        draw();
      },
    },
    "Clear",
  );
  return [
    el(
      "div",
      { class: "head" },
      el(
        "h1",
        {},
        `${rows.length} models`,
        el(
          "small",
          {},
          alone
            ? `${first.dataset}: ${betterText(first.dataset)}`
            : "of several datasets: their scores cannot be compared",
        ),
      ),
      el("span", { class: "spring" }),
      clear,
    ),
    el(
      "div",
      { class: "grid" },
      alone
        ? card(
            "Fold by fold",
            "the same folds for every model, so that differences say more than two scores",
            foldsOf(rows),
          )
        : null,
      alone
        ? card(
            "Difference to the first",
            `mean over the folds that both have, with its standard error; to ${first.family}/${first.number}`,
            differencesTo(first, rows),
          )
        : null,
    ),
    card("Side by side", null, compareTable(rows, alone)),
  ];
}

function quickComparison() {
  const best = shownFamilies()
    .map(
      (family) =>
        shownRows()
          .filter((row) => row.family === family && row.rank)
          .sort((a, b) => a.rank - b.rank)[0],
    )
    .filter(Boolean);
  if (best.length < 2) return null;
  return el(
    "p",
    { class: "centre" },
    el(
      "button",
      {
        id: "best-of-each",
        onclick: () => {
          best.slice(0, 8).forEach((row) => state.chosen.add(row.trial));
          draw();
        },
      },
      `Compare the best of each family on ${state.dataset}`,
    ),
  );
}

const nameOf = (row) => `${row.family}/${row.number}`;

// Two models of one family have the family's colour and other marks.
function styleOf(rows, i) {
  const same = rows.slice(0, i).filter((row) => row.family === rows[i].family).length;
  return {
    color: colourOf(rows[i].family),
    dash: ["solid", "dash", "dot", "dashdot", "longdash"][same % 5],
    symbol: ["circle", "square", "diamond", "x", "cross"][same % 5],
  };
}

function foldsOf(rows) {
  return chart(
    "Scores fold by fold",
    rows.map((row, i) => {
      const style = styleOf(rows, i);
      return {
        type: "scatter",
        mode: "lines+markers",
        name: plain(nameOf(row)),
        x: row.fold_scores.map((_, k) => `${k + 1}`),
        y: row.fold_scores,
        line: { color: style.color, dash: style.dash, width: 2 },
        marker: { symbol: style.symbol, size: 7 },
        hovertemplate: `${plain(nameOf(row))}, fold %{x}: %{y}<extra></extra>`,
      };
    }),
    {
      xaxis: { title: { text: "fold" }, type: "category" },
      yaxis: { title: { text: plain(metricOf(rows[0].dataset)) } },
      showlegend: true,
    },
  );
}

// Mean of the folds' differences, its standard error, and over how many folds; null without any.
function difference(first, other) {
  const pairs = first.fold_scores
    .map((score, i) => [score, other.fold_scores[i]])
    .filter(([a, b]) => a != null && b != null)
    .map(([a, b]) => b - a);
  if (!pairs.length) return null;
  const middle = mean(pairs),
    error =
      pairs.length > 1 ? Math.sqrt(sum(pairs.map((p) => (p - middle) ** 2)) / (pairs.length - 1) / pairs.length) : null;
  return { mean: middle, error, folds: pairs.length };
}

const signed = (found) =>
  found
    ? `${found.mean >= 0 ? "+" : ""}${found.mean.toPrecision(3)}${found.error == null ? "" : ` ± ${found.error.toPrecision(2)}`}`
    : NOTHING;

function differencesTo(first, rows) {
  const others = rows
    .slice(1)
    .map((row) => ({ row, found: difference(first, row) }))
    .filter(({ found }) => found)
    .reverse();
  if (!others.length) return empty("They have no fold in common.");
  return chart(
    "Differences to the first model",
    [
      {
        type: "scatter",
        mode: "markers",
        x: others.map(({ found }) => found.mean),
        y: others.map(({ row }) => plain(nameOf(row))),
        error_x: {
          type: "data",
          array: others.map(({ found }) => found.error ?? 0),
          color: cssColour("--dim"),
          thickness: 1.5,
          width: 5,
        },
        marker: { size: 10, color: others.map(({ row }) => colourOf(row.family)) },
        text: others.map(({ found }) => plain(signed(found))),
        hovertemplate: "%{y}: %{text}<extra></extra>",
      },
    ],
    {
      yaxis: { type: "category", range: [-0.7, others.length - 0.3] },
      xaxis: {
        title: { text: `${plain(metricOf(first.dataset))}, ${maximizes(first.dataset) ? "right" : "left"} is better` },
        zeroline: true,
        zerolinecolor: cssColour("--dim"),
      },
    },
  );
}

function compareTable(rows, alone) {
  const first = rows[0],
    folds = Math.max(...rows.map((row) => row.fold_scores.length)),
    names = [...new Set(rows.flatMap((row) => Object.keys(row.params)))];
  const differing = names.filter((name) => new Set(rows.map((row) => JSON.stringify(row.params[name]))).size > 1);
  const remove = (row) =>
    el(
      "button",
      {
        class: "small",
        "aria-label": `take ${row.trial} out`,
        onclick: () => {
          choose(row.trial, false);
          draw();
        },
      },
      "×",
    );
  const line = (name, show, better = null) => {
    const values = better ? rows.map(better) : [],
      there = values.filter((v) => v != null);
    const best = there.length > 1 ? (better.lower ? Math.min(...there) : Math.max(...there)) : null;
    return [
      name,
      ...rows.map((row, i) =>
        el("span", { class: best !== null && values[i] === best ? "winner" : null }, show(row, i) ?? NOTHING),
      ),
    ];
  };
  const scored = (read) => (alone ? Object.assign(read, { lower: !maximizes(first.dataset) }) : null);
  const least = (read) => Object.assign(read, { lower: true });
  return smallTable(
    ["", ...rows.map(() => ">")],
    [
      [
        "model",
        ...rows.map((row) =>
          el("span", { class: "together" }, trialLink(row.trial, alone ? nameOf(row) : row.trial), remove(row)),
        ),
      ],
      line("state", (row) => row.state),
      line(
        "score",
        (row) => scoreText(row.score, row.error),
        scored((row) => (row.state === "complete" ? row.score : null)),
      ),
      line(
        "pooled",
        (row) => scoreText(row.pooled),
        scored((row) => row.pooled),
      ),
      ...(alone
        ? [line("fold by fold, to the first", (row) => (row === first ? NOTHING : signed(difference(first, row))))]
        : []),
      ...Array.from({ length: folds }, (_, i) =>
        line(
          `fold ${i + 1}`,
          (row) => (row.fold_scores[i] == null ? NOTHING : scoreText(row.fold_scores[i])),
          scored((row) => row.fold_scores[i]),
        ),
      ),
      line(
        "time",
        (row) => span(row.seconds),
        least((row) => row.seconds),
      ),
      line(
        "CPU time",
        (row) => span(row.cpu_seconds),
        least((row) => row.cpu_seconds),
      ),
      line(
        "memory",
        (row) => memory(row.memory),
        least((row) => row.memory),
      ),
      line("device", (row) => row.device),
      ...(rows.some((row) => row.max_rows != null)
        ? [line("rows fitted, at most", (row) => row.max_rows?.toLocaleString("en"))]
        : []),
      line("models kept", (row) => (row.models_kept ? "yes" : "no")),
      ...differing.map((name) => line(name, (row) => valueText(row.params[name]))),
    ],
    { id: "comparison" },
  );
}
