// Out-of-fold predictions of one model, drawn as its task asks (optimizer/views/page/outoffold.py).

function outOfFold(found, row) {
  if (found.missing) return [empty("No out-of-fold plots.", found.missing)];
  const rows = `${found.rows.toLocaleString("en")} rows${found.shown < found.rows ? `, ${found.shown.toLocaleString("en")} of them looked at` : ""}`;
  return found.task === "regression" ? regressionCards(found, row, rows) : classificationCards(found, row, rows);
}

const diagonal = (low, high) => ({
  type: "scatter",
  mode: "lines",
  x: [low, high],
  y: [low, high],
  hoverinfo: "skip",
  showlegend: false,
  line: { color: cssColour("--line-strong"), dash: "dot", width: 1 },
});

function classificationCards(found, row, rows) {
  const several = found.curves.length > 1,
    colour = (i) => (several ? colourAt(i) : colourOf(row.family));
  const curve = (one, i, part, figure) => ({
    type: "scatter",
    mode: "lines",
    name: plain(`${one.label}  ${figure.toFixed(4)}`),
    x: one[part].x,
    y: one[part].y,
    line: { color: colour(i), width: 2 },
    hovertemplate: "%{x:.3f}, %{y:.3f}<extra></extra>",
  });
  const unit = { range: [-0.02, 1.02] },
    of = several ? "one class against the others" : `of ${found.positive ?? found.curves[0]?.label}`;
  const none = empty("There is one class only.");
  return [
    card(
      "ROC",
      `${of}; ${rows}`,
      found.curves.length
        ? chart(
            "ROC curve",
            [diagonal(0, 1), ...found.curves.map((one, i) => curve(one, i, "roc", one.roc.auc))],
            {
              xaxis: { ...unit, title: { text: "false positive rate" } },
              yaxis: { ...unit, title: { text: "true positive rate" } },
              showlegend: true,
            },
            { height: 320 },
          )
        : none,
    ),
    card(
      "Precision and recall",
      of,
      found.curves.length
        ? chart(
            "Precision-recall curve",
            found.curves.map((one, i) => curve(one, i, "pr", one.pr.ap)),
            {
              xaxis: { ...unit, title: { text: "recall" } },
              yaxis: { ...unit, title: { text: "precision" } },
              showlegend: true,
            },
            { height: 320 },
          )
        : none,
    ),
    card(
      "Calibration",
      "of what was predicted, how much came true; bins of equally many rows",
      chart(
        "Calibration",
        [
          diagonal(0, 1),
          ...found.calibration.map((one, i) => ({
            type: "scatter",
            mode: "lines+markers",
            name: plain(one.label),
            x: one.predicted,
            y: one.observed,
            customdata: one.rows,
            line: { color: colour(i), width: 2 },
            marker: { size: 6 },
            hovertemplate: "predicted %{x:.3f}, true %{y:.3f}, %{customdata} rows<extra></extra>",
          })),
        ],
        {
          xaxis: { ...unit, title: { text: "predicted probability" } },
          yaxis: { ...unit, title: { text: "share that came true" } },
          showlegend: several,
        },
        { height: 320 },
      ),
    ),
    card(
      "Confusion",
      "rows are the truth, columns what the label would be; shades by row",
      confusionTable(found.confusion),
    ),
  ];
}

function confusionTable({ labels, counts }) {
  const shade = (n, row) => {
    const all = sum(row);
    return all ? Math.round((70 * n) / all) : 0;
  };
  const right = sum(labels.map((_, i) => counts[i][i])),
    all = sum(counts.map(sum));
  return [
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "confusion" },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", {}, "truth \\ predicted"),
            labels.map((label) => el("th", { class: "number" }, label)),
            el("th", { class: "number" }, "recall"),
          ),
        ),
        el(
          "tbody",
          {},
          counts.map((row, i) =>
            el(
              "tr",
              {},
              el("th", {}, labels[i]),
              row.map((n, k) =>
                el(
                  "td",
                  { class: `number ${i === k ? "right" : ""}`, style: { "--shade": `${shade(n, row)}%` } },
                  n.toLocaleString("en"),
                ),
              ),
              el("td", { class: "number" }, percent(sum(row) ? row[i] / sum(row) : null, 1)),
            ),
          ),
        ),
      ),
    ),
    el("p", { class: "note" }, `${percent(all ? right / all : null, 2)} of ${all.toLocaleString("en")} rows right`),
  ];
}

function regressionCards(found, row, rows) {
  const { truth, predicted } = found.points,
    colour = colourOf(row.family),
    all = [...truth, ...predicted];
  const low = smallest(all),
    high = largest(all),
    { edges, counts, mean: bias, spread } = found.residuals;
  const points = (x, y, template) => ({
    type: "scatter",
    mode: "markers",
    x,
    y,
    marker: { color: colour, size: 5, opacity: 0.5 },
    hovertemplate: template,
    showlegend: false,
  });
  const level = {
    type: "scatter",
    mode: "lines",
    x: [smallest(predicted), largest(predicted)],
    y: [0, 0],
    hoverinfo: "skip",
    showlegend: false,
    line: { color: cssColour("--line-strong"), dash: "dot", width: 1 },
  };
  return [
    card(
      "Predicted against true",
      `${rows}; ${truth.length.toLocaleString("en")} points, the largest misses among them`,
      chart(
        "Predicted against true",
        [diagonal(low, high), points(truth, predicted, "true %{x}, predicted %{y}<extra></extra>")],
        { xaxis: { title: { text: "true" } }, yaxis: { title: { text: "predicted" } } },
      ),
    ),
    card(
      "Residuals",
      "predicted less true, over what was predicted",
      chart(
        "Residuals over predictions",
        [
          level,
          points(
            predicted,
            predicted.map((p, i) => p - truth[i]),
            "predicted %{x}, off by %{y}<extra></extra>",
          ),
        ],
        { xaxis: { title: { text: "predicted" } }, yaxis: { title: { text: "predicted less true" } } },
      ),
    ),
    card(
      "How far off",
      `mean ${bias.toPrecision(3)}, standard deviation ${spread.toPrecision(3)}`,
      chart(
        "Histogram of residuals",
        [
          {
            type: "bar",
            x: counts.map((_, i) => (edges[i] + edges[i + 1]) / 2),
            y: counts,
            marker: { color: colour },
            hovertemplate: "%{x:.4g}: %{y} rows<extra></extra>",
          },
        ],
        { bargap: 0.04, xaxis: { title: { text: "predicted less true" } }, yaxis: { title: { text: "rows" } } },
      ),
    ),
  ];
}
