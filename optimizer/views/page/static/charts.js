// Plots by plotly.js, in the colours of the page. A library draws them; here is only what they have in common.

const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// plotly reads a little markup in its texts: a name of a person is to have none.
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function baseLayout() {
  const [ink, dim, line, panel] = ["--ink", "--dim", "--line", "--panel"].map(cssColour);
  const axis = {
    gridcolor: line,
    zerolinecolor: line,
    linecolor: line,
    tickcolor: line,
    automargin: true,
    title: { standoff: 8 },
  };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    // On a phone a finger on a plot shall move the page.
    dragmode: innerWidth < 700 ? false : "zoom",
    hovermode: "closest",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
    margin: { l: 56, r: 12, t: 10, b: 40 },
    xaxis: { ...axis },
    yaxis: { ...axis },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 }, itemwidth: 30 },
    hoverlabel: { bgcolor: panel, bordercolor: line, font: { color: ink, size: 12 }, align: "left" },
    colorway: palette(),
    modebar: { bgcolor: "rgba(0,0,0,0)", color: dim, activecolor: ink },
  };
}

function merged(base, over) {
  const result = { ...base };
  for (const [name, value] of Object.entries(over)) {
    const both =
      value && typeof value === "object" && !Array.isArray(value) && result[name] && typeof result[name] === "object";
    result[name] = both ? merged(result[name], value) : value;
  }
  return result;
}

const CONFIG = {
  displaylogo: false,
  responsive: true,
  doubleClick: "reset+autosize",
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
};

// A place for a plot, filled once it is in the page; `pick` is called with the trial of a point that is clicked.
function chart(label, traces, layout = {}, { height = 340, pick = null } = {}) {
  const place = el(
    "div",
    { class: "chart", role: "img", "aria-label": label, style: { height: `${height}px` } },
    el("span", { class: "waiting" }, "drawing"),
  );
  library("plot-code", () => window.Plotly)
    .then(async () => {
      if (!place.isConnected) return;
      place.replaceChildren();
      await window.Plotly.newPlot(place, traces, merged(baseLayout(), layout), {
        ...CONFIG,
        displayModeBar: innerWidth < 700 ? false : "hover",
      });
      place.on("plotly_relayout", (change) => {
        live.held = Object.keys(change).some((name) => name.includes(".range["));
      });
      if (pick)
        place.on("plotly_click", (event) => event.points[0]?.customdata != null && pick(event.points[0].customdata));
      place.dataset.drawn = "yes";
    })
    .catch((error) => fill(place, empty("This plot cannot be drawn.", String(error.message ?? error))));
  return place;
}

const openModel = (trial) => {
  location.hash = `#model/${encodeURIComponent(trial)}`;
};

// A cloud of trials by family; thousands of points are one path each, so that a page stays quick.
function cloud(rows, x, y, text, extra = {}) {
  return [...groupBy(rows, (row) => row.family)].map(([family, of]) => ({
    type: "scatter",
    mode: "markers",
    name: plain(family),
    legendgroup: family,
    x: of.map(x),
    y: of.map(y),
    customdata: of.map((row) => row.trial),
    text: of.map((row) => plain(text(row))),
    hovertemplate: "%{text}<extra></extra>",
    marker: { color: colourOf(family), size: 5, opacity: 0.6, line: { width: 0 } },
    ...extra,
  }));
}

const hover = (row) => `${row.trial}  ${scoreText(row.score, row.error)}  ${span(row.seconds)}`;

// The range in which most scores lie: a few hopeless models must not press all others into a line.
function scoreRange(rows, dataset) {
  const values = rows
    .map((row) => row.score)
    .filter((v) => v != null)
    .sort((a, b) => a - b);
  if (values.length < 8) return undefined;
  const [low, high] = maximizes(dataset)
    ? [quantile(values, 0.08), values.at(-1)]
    : [values[0], quantile(values, 0.92)];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.01 || 1;
  return [low - room, high + room];
}

// Ticks of a logarithmic axis that do not crowd: powers of ten, and what is between them where there are few.
function logAxis(values) {
  const there = values.filter((v) => v > 0);
  if (!there.length) return { type: "log" };
  const low = Math.floor(Math.log10(smallest(there))),
    high = Math.ceil(Math.log10(largest(there)));
  const steps = high - low <= 1 ? [1, 2, 3, 5] : high - low <= 2 ? [1, 3] : [1],
    every = Math.ceil((high - low + 1) / 5);
  const ticks = [];
  for (let power = low; power <= high; power += steps.length > 1 ? 1 : every) {
    for (const step of steps) ticks.push(step * 10 ** power);
  }
  return { type: "log", tickmode: "array", tickvals: ticks, ticktext: ticks.map(tickText) };
}

function tickText(value) {
  const power = Math.floor(Math.log10(value) + 1e-9);
  if (power >= -3 && power < 5) return String(+value.toPrecision(2));
  return `${+(value / 10 ** power).toPrecision(2)}e${power}`;
}
