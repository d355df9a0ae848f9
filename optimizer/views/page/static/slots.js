// The timeline of slots: who ran what where, how busy each was, and the gaps.

const OUTCOMES = { complete: 0.95, pruned: 0.5, failed: 0.95, lost: 0.95, running: 0.7, lent: 0.3 };

function slotsView() {
  const jobs = withNeighbours(state.jobs.filter(Boolean)),
    names = [...new Set([...state.slots.map((s) => s.name), ...jobs.map((job) => job.slot)])];
  if (!jobs.length)
    return [empty("No job has started yet.", "Each slot gets a row, and each job a bar from its start to its end.")];
  const now = state.alive ? state.at : largest(jobs.map((job) => job.end ?? job.start)),
    busy = names.map((name) => slotUse(name, jobs, now));
  const colours = (job) =>
    job.outcome === "lost" || job.outcome === "failed"
      ? cssColour("--bad")
      : job.outcome === "lent"
        ? cssColour("--line-strong")
        : colourOf(familyOf(job));
  // Without edges: of thousands of bars those narrower than a pixel would be edges alone, and look idle.
  const traces = [...groupBy(jobs, (job) => `${familyOf(job)} ${job.outcome}`)].map(([, of]) => ({
    type: "bar",
    orientation: "h",
    base: of.map((job) => asLocal(job.start)),
    x: of.map((job) => Math.max(0.02, (job.end ?? now) - job.start) * 1000),
    y: of.map((job) => plain(job.slot)),
    text: of.map((job) =>
      plain(`${job.trial}, attempt ${job.attempt}: ${job.outcome}, ${span((job.end ?? now) - job.start)}`),
    ),
    customdata: of.map((job) => job.trial),
    hovertemplate: "%{text}<extra></extra>",
    textposition: "none",
    name: plain(familyOf(of[0])),
    legendgroup: familyOf(of[0]),
    showlegend: of[0].outcome === "complete",
    marker: {
      color: colours(of[0]),
      opacity: OUTCOMES[of[0].outcome] ?? 0.7,
      line: { width: 0 },
    },
  }));
  return [
    card(
      "Timeline of slots",
      "a bar is a job; pale ones were pruned, red ones failed or were lost, grey is a slot lent to its neighbour, and what is empty was idle. Drag to look closer, double-click for all",
      chart(
        "Timeline of slots",
        traces,
        {
          barmode: "overlay",
          bargap: 0.25,
          xaxis: { type: "date", title: { text: "time of day here" } },
          yaxis: { type: "category", categoryorder: "array", categoryarray: names.map(plain).reverse() },
          showlegend: true,
        },
        { height: Math.max(200, 34 * names.length + 120), pick: openModel },
      ),
    ),
    el(
      "div",
      { class: "grid" },
      card(
        "How busy",
        "from the first job of a start to its last",
        smallTable(
          ["slot", "cores", ">jobs", ">busy", ">idle", ">share", ">longest gap"],
          busy.map((use) => [
            use.name,
            use.cores,
            use.jobs,
            span(use.busy),
            span(use.idle),
            percent(use.share, 1),
            span(use.gaps[0]?.seconds ?? 0),
          ]),
        ),
      ),
      card("Longest gaps", null, gapTable(busy)),
    ),
    state.layouts.length
      ? card(
          "How the cores were cut",
          null,
          smallTable(
            ["dataset", ">slots", ">threads", "because"],
            state.layouts.map((l) => [l.dataset, l.slots, l.threads, l.reason]),
          ),
          state.layouts_measured.length
            ? smallTable(
                ["measured on", "family", "of", ">a fold on its own cores", ">joined", ">threads"],
                state.layouts_measured.map((m) => [
                  m.dataset,
                  familyMark(m.family),
                  trialLink(m.trial),
                  span(m.single_s),
                  span(m.joined_s),
                  m.threads,
                ]),
              )
            : null,
        )
      : null,
  ];
}

// plotly writes times as UTC: what it is given is shifted, so that it writes what the clock here shows.
const asLocal = (seconds) => seconds * 1000 - new Date(seconds * 1000).getTimezoneOffset() * 60_000;

// A job of several joined slots works on the cores of all: those behind its own are lent to it meanwhile.
function withNeighbours(jobs) {
  const order = state.slots.map((slot) => slot.name);
  return jobs.flatMap((job) => {
    const at = order.indexOf(job.slot),
      lent = job.slots > 1 && at >= 0 ? order.slice(at + 1, at + job.slots) : [];
    return [job, ...lent.map((slot) => ({ ...job, slot, outcome: "lent", slots: 1 }))];
  });
}

const familyOf = (job) => job.trial.split("/").at(-2) ?? "";

function slotUse(name, jobs, now) {
  const slot = state.slots.find((s) => s.name === name),
    of = jobs.filter((job) => job.slot === name).sort((a, b) => a.start - b.start),
    gaps = [];
  const taken = sum(of.map((job) => (job.end ?? now) - job.start));
  let last = of[0];
  for (const job of of.slice(1)) {
    const gap = job.start - (last.end ?? now);
    // Between two starts the run was not there.
    if (gap > 0 && job.beganBy === last.beganBy) gaps.push({ name, seconds: gap, before: job });
    if (job.beganBy !== last.beganBy || (job.end ?? now) > (last.end ?? now)) last = job;
  }
  gaps.sort((a, b) => b.seconds - a.seconds);
  const idle = sum(gaps.map((gap) => gap.seconds)),
    cores = slot?.cores ?? [];
  return {
    name,
    jobs: of.length,
    busy: taken,
    idle,
    share: taken + idle ? taken / (taken + idle) : null,
    gaps,
    cores: slot ? `${ranges(cores)}${slot.gpu ? " + GPU" : ""}` : NOTHING,
  };
}

// Numbers in ascending order, three and more in a row as one range.
function ranges(numbers) {
  const rows = [];
  for (const number of numbers) {
    if (rows.at(-1)?.at(-1) === number - 1) rows.at(-1).push(number);
    else rows.push([number]);
  }
  return rows.map((row) => (row.length > 2 ? `${row[0]}–${row.at(-1)}` : row.join(", "))).join(", ");
}

function gapTable(busy) {
  const gaps = busy
    .flatMap((use) => use.gaps.slice(0, 10))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, 10)
    .filter((gap) => gap.seconds >= 0.05);
  if (!gaps.length) return empty("No slot was idle for longer than 0.05 s.");
  return smallTable(
    ["slot", ">idle for", "until", "that started"],
    gaps.map((gap) => [gap.name, span(gap.seconds), clock(gap.before.start), trialLink(gap.before.trial)]),
  );
}
