"""``optuna-dashboard`` over a copy of a run's database: whatever is done there, the run's own file stays as it is."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from optimizer.errors import UserError
from optimizer.study.snapshot import snapshot
from optimizer.views.page.guard import Guard, Rules


def optuna_application(folder: Path, scratch: Path, rules: Rules) -> Guard:
    """The dashboard over a snapshot that is made in ``scratch``, behind the same read-only gate as the page.

    Raises:
        UserError: the dashboard is not installed, or there is nothing to copy.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise UserError("--optuna needs the package optuna-dashboard, which is not installed; "
                        f"run: {sys.executable} -m pip install optuna-dashboard") from error
    with warnings.catch_warnings():
        # It is deprecated for large bodies of requests, of which the gate lets none pass.
        warnings.simplefilter("ignore", DeprecationWarning)
        from starlette.middleware.wsgi import WSGIMiddleware

    copy = scratch / "optuna.db"
    snapshot(folder, copy)
    return Guard(WSGIMiddleware(wsgi(f"sqlite:///{copy}")), rules)
