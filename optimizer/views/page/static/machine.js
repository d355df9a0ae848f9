// The run as work: what failed, what was spared, and what it was told to do.

function failuresView() {
  const failed = shownRows({ everyDataset: true }).filter((row) => row.state === "failed"),
    parts = [];
  const kinds = [
    ...groupBy(failed, (row) => `${row.kind || "error"}\n${row.reason.replace(/\d+(\.\d+)?/g, "#")}`).values(),
  ].sort((a, b) => b.length - a.length);
  if (kinds.length) {
    parts.push(
      card(
        "Failed models by reason",
        `${count(failed.length, "model")} of ${state.rows.size.toLocaleString("en")}; reasons that differ in numbers only are one`,
        smallTable(
          ["kind", ">models", "families", "datasets", "latest reason", "latest model", ">time lost"],
          kinds.map((of) => {
            const last = of.reduce((a, b) => (b.at > a.at ? b : a));
            return [
              el("span", { class: "state failed" }, last.kind || "error"),
              of.length,
              [...new Set(of.map((row) => row.family))].join(", "),
              [...new Set(of.map((row) => row.dataset))].join(", "),
              el("span", { class: "long" }, last.reason),
              trialLink(last.trial),
              span(sum(of.map((row) => row.seconds))),
            ];
          }),
          { id: "failures-table" },
        ),
      ),
    );
  }
  const lost = Object.entries(state.jobs_lost),
    workers = Object.entries(state.workers_lost),
    broken = state.datasets.filter((d) => d.failed);
  if (lost.length)
    parts.push(
      card(
        "Jobs lost with their workers",
        "their models were run again, at most twice",
        smallTable(["reason", ">jobs"], lost),
      ),
    );
  if (workers.length) parts.push(card("Workers lost", null, smallTable(["reason", ">workers"], workers)));
  if (broken.length)
    parts.push(
      card(
        "Datasets that could not be used",
        null,
        smallTable(
          ["dataset", "reason"],
          broken.map((d) => [d.dataset, d.failed]),
        ),
      ),
    );
  if (state.spared.quarantined.length)
    parts.push(
      card(
        "Quarantined",
        "took their workers with them to the last attempt; their points are not asked again",
        el(
          "p",
          {},
          state.spared.quarantined.map((trial) => [trialLink(trial), " "]),
        ),
      ),
    );
  if (state.unreadable.length)
    parts.push(
      card(
        "Unreadable in the journal",
        null,
        el(
          "ul",
          {},
          state.unreadable.map((text) => el("li", {}, text)),
        ),
      ),
    );
  return parts.length ? parts : [empty("Nothing has failed.", "No model, no job, no worker, no dataset.")];
}

function sparedView() {
  const s = state.spared,
    rows = s.rows.filter((row) => !state.hidden.has(row.family)),
    of = (name) => sum(rows.map((row) => row[name]));
  const figures = [
    ["models ended early", of("trials").toLocaleString("en")],
    ["folds not run", of("folds").toLocaleString("en")],
    ["time spared, estimated", span(of("seconds"))],
    ["spent on them", span(of("spent"))],
  ];
  const parts = [
    el(
      "div",
      { class: "cards" },
      figures.map(([name, figure]) =>
        el("div", { class: "tile" }, el("span", { class: "name" }, name), el("span", { class: "figure" }, figure)),
      ),
    ),
  ];
  parts.push(
    card(
      "Ended early, by what evidence",
      "time spared is the folds not run, at what a fold of the same model or family took",
      rows.length
        ? smallTable(
            ["dataset", "family", ">models", ">folds not run", ">time spared", ">time spent", "evidence"],
            rows.map((row) => [
              row.dataset,
              familyMark(row.family),
              row.trials.toLocaleString("en"),
              row.folds.toLocaleString("en"),
              span(row.seconds),
              span(row.spent),
              s.evidence[row.evidence],
            ]),
            { id: "spared-table" },
          )
        : empty("No model was ended early.", `The pruner of this run is ${state.run.study.pruner ?? "none"}.`),
    ),
  );
  const stops = s.stops.filter((stop) => !state.hidden.has(stop.family));
  if (stops.length)
    parts.push(
      card(
        "Families that stopped or moved",
        null,
        smallTable(
          ["family", "dataset", "", "reason"],
          stops.map((stop) => [
            familyMark(stop.family),
            stop.dataset ?? "all",
            stop.moved ? "moved" : "stopped",
            stop.reason,
          ]),
        ),
      ),
    );
  if (s.finished.length)
    parts.push(
      card(
        "Datasets that are done",
        null,
        smallTable(
          ["dataset", "because", ">slot time", ">models not begun"],
          s.finished.map((d) => [d.dataset, d.reason, span(d.used_s), d.spared ? d.spared.toLocaleString("en") : NOTHING]),
        ),
      ),
    );
  if (s.same_content.length)
    parts.push(
      card(
        "Datasets with the same content",
        "named twice; searched for each name",
        smallTable(
          ["dataset", "same as"],
          s.same_content.map((d) => [d.dataset, d.same_as]),
        ),
      ),
    );
  parts.push(
    card(
      "Points evaluated twice",
      "a point that a sampler draws again is drawn anew before it costs anything; the journal does not count those",
      el(
        "p",
        {},
        s.repeated
          ? `${count(s.repeated, "model")} had the very parameters of an earlier one.`
          : "No point was evaluated twice.",
      ),
    ),
  );
  return parts;
}

function runView() {
  const { run } = state,
    study = Object.entries(run.study)
      .map(([name, value]) => (name.endsWith("_s") ? [name.slice(0, -2), span(value)] : [name, settingText(value)]))
      .filter(([, text]) => text),
    notices = [...state.notices, ...state.datasets.flatMap((d) => d.notices.map((text) => `${d.dataset}: ${text}`))];
  return [
    el(
      "div",
      { class: "grid" },
      card(
        "The run",
        null,
        el(
          "dl",
          { class: "facts" },
          [
            ["state", runState()],
            ["because", run.reason === run.state ? null : run.reason || null],
            ["started", clock(run.started)],
            [run.state === "unfinished" ? "last event" : "ended", clock(run.ended)],
            ["ran for", span(run.seconds)],
            ["starts", run.starts],
            ["optimizer", run.version],
            ["page of", clock(state.at)],
          ]
            .filter(([, value]) => value != null)
            .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
        ),
      ),
      card(
        "The study",
        null,
        el(
          "dl",
          { class: "facts" },
          study.map(([name, value]) => [el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, value)]),
        ),
      ),
    ),
    card(
      "Datasets",
      null,
      smallTable(
        ["dataset", "task", "metric", "target", ">rows", ">columns", ">test rows", ">folds", "classes"],
        state.datasets.map((d) => [
          d.dataset,
          d.task || el("span", { class: "mistake" }, d.failed),
          d.metric,
          d.target || NOTHING,
          d.rows.toLocaleString("en"),
          d.columns,
          d.test_rows.toLocaleString("en"),
          d.repeats > 1 ? `${d.repeats} × ${d.folds}` : d.folds,
          el(
            "span",
            { class: "cut" },
            d.classes.slice(0, 12).join(", ") + (d.classes.length > 12 ? ` and ${d.classes.length - 12} more` : ""),
          ),
        ]),
      ),
    ),
    card(
      "Slots",
      null,
      smallTable(
        ["slot", "cores", ">threads", "GPU", ">memory"],
        state.slots.map((s) => [
          s.name,
          (s.cores ?? []).join(", "),
          s.threads ?? NOTHING,
          s.gpu ?? NOTHING,
          memory(s.memory_mb),
        ]),
      ),
    ),
    card(
      "Notices",
      null,
      notices.length
        ? el(
            "ul",
            { class: "notices" },
            [...new Set(notices)].map((text) => el("li", {}, text)),
          )
        : empty("Nothing to be told."),
    ),
  ];
}

// A setting of the study in words; nothing for one that says nothing.
function settingText(value) {
  if (value == null) return "";
  if (Array.isArray(value)) return value.map(settingText).join(", ");
  if (typeof value !== "object") return valueText(value);
  const parts = Object.entries(value).map(([name, of]) => [name, settingText(of)]);
  return parts
    .filter(([, text]) => text)
    .map((part) => part.join(" "))
    .join(", ");
}
