// What comes in while the run goes on: every few seconds only what changed is asked for.

const live = { trouble: "", held: false, drawnAt: 0 };
// Plots are drawn anew this often, not with each model: one shall be able to look at them.
const REDRAW_MS = 15_000;

async function poll() {
  if (!document.hidden) {
    try {
      const update = await ask("changes", { generation: state.generation, change: state.change }),
        before = runState();
      live.trouble = "";
      const grew = takeIn(update),
        { view } = route();
      if (grew && update.anew) draw();
      else if (grew && view === "board" && drawnShape === shape()) {
        refreshBoard();
        drawHeader();
        drawTabs();
      } else if (drawnVersion !== state.version && redrawn(view, before !== runState())) draw();
      else drawHeader();
    } catch (error) {
      live.trouble = `no answer since ${clock(state.at, { date: false })}; is \`optimizer serve\` still there?`;
      drawHeader();
    }
  }
  setTimeout(poll, content.live.poll_s * 1000);
}

// A view is drawn anew when it is due, and not while one has looked closer into a plot or has something open in it.
function redrawn(view, ended) {
  if (view === "model" || view === "compare" || live.held) return false;
  const used = document.querySelector(".chart:hover, details[open], dialog[open]");
  if (used || document.activeElement?.closest?.("select")) return false;
  return ended || performance.now() - live.drawnAt > REDRAW_MS;
}
