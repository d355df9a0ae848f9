"""``optimizer watch``, ``status``, ``leaderboard``, ``compare``, ``export`` and ``predict``: what a run has to show."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import click
import msgspec

from optimizer.cli import cli
from optimizer.cli.streams import say, show
from optimizer.errors import UserError

_RUN = click.argument("run")


@cli.command()
@_RUN
def watch(run: str) -> None:
    """Show a run's dashboard; q or Ctrl-C leaves, and the run goes on."""
    from optimizer.process import step_back
    from optimizer.views.dashboard import main as dashboard
    from optimizer.views.results import find_run

    step_back()  # it belongs to the run, whose work does not wait for it, and nor shall the person's
    sys.exit(dashboard([str(find_run(run))]))


@cli.command()
@_RUN
@click.option("--json", "as_json", is_flag=True, help="For machines: the whole status.")
def status(run: str, *, as_json: bool) -> None:
    """Say how a run stands."""
    from optimizer.scheduler.lock import holder
    from optimizer.status import read_status
    from optimizer.views.results import find_run
    from optimizer.views.screen import lines

    folder = find_run(run)
    state = read_status(folder / "status.json")
    alive = holder(folder) is not None
    if as_json:
        show(json.dumps({"alive": alive, "status": msgspec.to_builtins(state)}, allow_nan=False))
        return
    if state is None:
        raise UserError(f"{folder.name} has no status yet; look again in a moment, or see {folder}/logs")
    size = shutil.get_terminal_size((100, 40))
    for line in lines(state, width=size.columns, height=max(24, size.lines - 2), now=time.time()):
        show(line.plain.rstrip())
    if not alive and state.state not in ("finished", "stopped"):
        show(f"its scheduler is gone; resume with: optimizer run {folder}.toml")


@cli.command()
@_RUN
@click.option("--dataset", help="Only this dataset.")
@click.option("--family", help="Only this model family.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Trials per dataset.")
@click.option("--where", multiple=True, metavar="CONDITION",
              help="Only trials of which this holds, such as 'score > 0.97' or 'max_depth <= 6'; may be given again.")
@click.option("--sort", metavar="NAME", help="By this field or parameter instead of by rank.")
@click.option("--reverse", is_flag=True, help="With --sort: the largest first.")
@click.option("--json", "as_json", is_flag=True, help="For machines: every figure and parameter.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets: the same as a table.")
def leaderboard(
    run: str, *, dataset: str | None, family: str | None, top: int, where: tuple[str, ...], sort: str | None,
    reverse: bool, as_json: bool, as_csv: bool,
) -> None:
    """List the trials of a run, best first."""
    from optimizer.views import leaderboard as boards
    from optimizer.views.results import RunView, find_run

    view = RunView.open(find_run(run))
    board = view.leaderboard(dataset, family, top, where=where, sort=sort, reverse=reverse)
    if as_json:
        show(json.dumps(boards.as_data(board), allow_nan=False))
    elif as_csv:
        from optimizer.views.tables import as_csv as table

        show(table(boards.as_data(board)), nl=False)
    elif sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        for line in boards.lines(view, board, console.width):
            console.print(line, no_wrap=True)
    else:
        show(boards.text(view, board))


@cli.command()
@_RUN
@click.argument("trials", nargs=-1, required=True, metavar="TRIAL TRIAL...")
@click.option("--json", "as_json", is_flag=True, help="For machines: every figure and parameter.")
def compare(run: str, *, trials: tuple[str, ...], as_json: bool) -> None:
    """Put trials of one dataset side by side: scores fold by fold, what they took, where they differ."""
    from optimizer.views.compare import compared, rows
    from optimizer.views.grid import Column, Grid
    from optimizer.views.results import RunView, find_run

    if len(trials) < 2:
        raise UserError("compare takes two trials or more; `optimizer leaderboard` lists them")
    view = RunView.open(find_run(run))
    records = [view.trial(trial) for trial in dict.fromkeys(trials)]
    found = compared(records, maximize=view.datasets[records[0].dataset].direction == "maximize")
    if as_json:
        show(json.dumps(found, allow_nan=False))
        return
    head, *body = rows(found)
    show(f"{found['dataset']}  {found['metric']}, {found['better']} is better")
    columns = [Column(header=name, right=number > 0) for number, name in enumerate(head)]
    for line in Grid(columns, body).lines(None):
        show(line.plain.rstrip())


@cli.command()
@_RUN
@click.option("--top", type=click.IntRange(1), default=1, show_default=True, help="Trials per dataset.")
@click.option("--dataset", help="Only this dataset.")
def export(run: str, *, top: int, dataset: str | None) -> None:
    """Write the submissions of the best trials into the run's scores/."""
    from optimizer.views.results import find_run
    from optimizer.views.submissions import export as write
    from optimizer.views.submissions import passed_over

    folder = find_run(run)
    paths = write(folder, top=top, dataset=dataset)
    for sentence in passed_over(folder, top=top, dataset=dataset):
        say(f"note: {sentence}", err=True)
    for path in paths:
        show(str(path))
        _warn_of_formulas(path)


@cli.command()
@_RUN
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--model", metavar="ID", help="The trial whose models predict; by default the best of the dataset.")
@click.option("--dataset", help="Where the run has several: the dataset that the table belongs to.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; by default beside the table.")
def predict(run: str, table: Path, *, model: str | None, dataset: str | None, out: Path | None) -> None:
    """Predict a new table with the fold models kept of a trial."""
    from optimizer.prediction import predict as predict_table
    from optimizer.store import Store
    from optimizer.views.results import RunView, find_run
    from optimizer.views.submissions import write_new_predictions

    folder = find_run(run)
    view = RunView.open(folder)
    record = view.model(model, dataset)
    _declare_own_families(folder)
    prediction = predict_table(Store(folder), record.trial, table)
    path = out or table.with_name(f"{table.name.split('.')[0]}-by-{record.trial.replace('/', '-')}.csv")
    if path.resolve() == table.resolve():
        raise UserError(f"--out {path} is the table itself; name another file")
    if not path.parent.is_dir():
        raise UserError(f"--out: there is no folder {path.parent}")
    write_new_predictions(folder, record, prediction.stored, prediction.ids, path)
    show(f"{path}: {len(prediction.stored):,} rows predicted by {record.trial}")
    _warn_of_formulas(path)


def _declare_own_families(folder: Path) -> None:
    """What a run's folder says of files to run is not believed; what the study file beside it says is the person's."""
    from optimizer.cli.run import load

    study = folder.with_name(f"{folder.name}.toml")
    if study.is_file() and "file" in study.read_text(encoding="utf-8", errors="replace"):
        load(study)


def _warn_of_formulas(path: Path) -> None:
    """Ids and labels go back letter by letter, so that all that can be done is to say it."""
    from optimizer.errors import cut, printable
    from optimizer.views.tables import formula_in

    cell = formula_in(path)
    if cell:
        say(f"note: {path} holds {cut(printable(cell))!r}, which a spreadsheet would take for a formula; it is written "
            "as your own files have it, so do not open it in one", err=True)

