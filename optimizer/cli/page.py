"""``optimizer report`` and ``serve``: the results of a run as a page, in one file or live."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import click

from optimizer.cli import cli
from optimizer.cli.streams import say, show
from optimizer.errors import UserError

_RUN = click.argument("run")
#: Seconds after which a command says what it is doing.
_PATIENCE_S = 2.0


@cli.command()
@_RUN
@click.option("--out", type=click.Path(path_type=Path), help="File to write; by default report.html in the run's "
                                                             "folder.")
@click.option("--json", "as_json", is_flag=True, help="For machines: where it was written, and its size.")
def report(run: str, *, out: Path | None, as_json: bool) -> None:
    """Write the results of a run as one page that opens anywhere, without a network."""
    from optimizer.views.page.build import write_report
    from optimizer.views.results import find_run

    folder = find_run(run)
    path = out if out is not None else folder / "report.html"
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file in it, such as {path / 'report.html'}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--out: there is no folder {path.parent}")
    began = time.monotonic()

    def doing(what: str) -> None:
        if time.monotonic() - began > _PATIENCE_S and sys.stderr.isatty():
            say(f"{what} ...", err=True)

    size = write_report(folder, path, now=time.time(), say=doing)
    if as_json:
        show(json.dumps({"path": str(path), "bytes": size}))
    else:
        show(f"{path}: {size / 1e6:.1f} MB; opens in any browser, without a network")


@cli.command()
@_RUN
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; by default 8321, or a free one where that is taken.")
@click.option("--token", help="What a browser must know to see the page; made where --host is not this machine alone.")
@click.option("--optuna", is_flag=True, help="Optuna's own dashboard instead, on a copy of the database.")
def serve(run: str, *, host: str, port: int | None, token: str | None, optuna: bool) -> None:
    """Show the results of a run live in a browser, read-only; Ctrl-C ends it, and the run goes on."""
    from optimizer.process import step_back
    from optimizer.views.page.serving import open_place
    from optimizer.views.page.serving import serve as answer
    from optimizer.views.results import find_run

    step_back()
    folder = find_run(run)
    with tempfile.TemporaryDirectory(prefix="optimizer-") as scratch:
        place = open_place(host, port, token)
        if optuna:
            from optimizer.views.page.optuna_app import optuna_application

            application = optuna_application(folder, Path(scratch), place.rules)
            what = f"Optuna's dashboard on a copy of {folder / 'optuna.db'} as it is now"
        else:
            from optimizer.views.page.server import application as live_application

            application = live_application(folder, place.rules)
            what = f"{folder.name}, live"
        show(f"{place.address}\n{what}; Ctrl-C ends it")
        sys.stdout.flush()
        if place.rules.token is not None and not place.rules.loopback:
            say("note: the page is not encrypted on its way; on a network that others share, use an SSH tunnel",
                err=True)
        answer(place, application)
