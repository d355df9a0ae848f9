// What comes in while the run goes on: every few seconds only what changed is asked for.

const live = { trouble: "", fresh: false };

async function poll() {
  if (!document.hidden) {
    try {
      const update = await ask("changes", { generation: state.generation, change: state.change }),
        before = runState();
      live.trouble = "";
      const grew = takeIn(update),
        { view } = route();
      if (grew && update.anew) draw();
      else if (grew && view === "board") {
        refreshBoard();
        drawHeader();
        drawTabs();
      } else if (grew && view !== "model" && view !== "compare" && !beingUsed()) draw();
      else drawHeader();
      if (before !== runState()) drawHeader();
    } catch (error) {
      live.trouble = `no answer since ${clock(state.at, { date: false })}; is \`optimizer serve\` still there?`;
      drawHeader();
    }
  }
  setTimeout(poll, content.live.poll_s * 1000);
}

// A plot that one is looking into is not drawn anew under one's hand.
function beingUsed() {
  const place = document.querySelector(".chart:hover"),
    open = document.querySelector("details[open], dialog[open]");
  return Boolean(place || open || document.activeElement?.closest?.("select"));
}
