"""The code of the page: our own files, and the libraries for its table and plots as their Python packages ship them.

No library is imported, for only a file of its package is wanted. They go into the page compressed, and are unpacked and
run by it when they are needed first; the page's content security policy names each by its hash, and nothing else runs.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

from optimizer.errors import UserError

_STATIC = Path(__file__).parent / "static"
#: Our own, in the order in which they are put together.
SCRIPTS = ("base.js", "words.js", "state.js", "charts.js", "columns.js", "board.js", "model.js", "outoffold.js",
           "compare.js", "search.js", "parameters.js", "slots.js", "machine.js", "live.js", "main.js")
_EXPORTS = re.compile(r"\bexport\s*\{([^{}]*)\}\s*;?")


@cache
def our_code() -> str:
    """The page's own script, whole."""
    parts = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();'


@cache
def our_style() -> str:
    """The page's own style sheet."""
    return (_STATIC / "page.css").read_text(encoding="utf-8")


@cache
def template() -> str:
    """The page without its content."""
    return (_STATIC / "page.html").read_text(encoding="utf-8")


@cache
def table_code() -> str:
    """DataTables with jQuery, as a script that leaves jQuery in ``window.optimizerTable``."""
    return as_script(_shipped("itables", "html", "dt_bundle.js"), "optimizerTable")


@cache
def plot_code() -> str:
    """plotly.js, which leaves ``window.Plotly``."""
    return _shipped("plotly", "package_data", "plotly.min.js")


def as_script(module: str, name: str) -> str:
    """A JavaScript module without imports as a plain script that leaves its exports in ``window.<name>``.

    A page that is a file cannot import a module from its own text without opening its policy to any other text.
    """
    found = list(_EXPORTS.finditer(module))
    if len(found) != 1:
        raise UserError(f"the table's library exports {len(found)} times where once was expected; "
                        "install the version of itables that constraints.txt names")
    pairs = [entry.split(" as ") for entry in found[0][1].split(",") if entry.strip()]
    members = ",".join(f"{pair[-1].strip()}:{pair[0].strip()}" for pair in pairs)
    body = _EXPORTS.sub(lambda _: f"window.{name}={{{members}}};", module)
    return f"(()=>{{{body}\n}})();"


def packed(text: str) -> str:
    """Text as the page carries it: gzip, then base64; the same text gives the same letters."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@cache
def packed_table() -> str:
    """`table_code`, packed."""
    return packed(table_code())


@cache
def packed_plots() -> str:
    """`plot_code`, packed."""
    return packed(plot_code())


@cache
def policy(*, live: bool) -> str:
    """The content security policy: only these scripts by their hashes, and nothing from anywhere.

    Styles may stand on elements, for both libraries place what they draw so; a live page may ask its own server.
    """
    scripts = " ".join(f"'sha256-{_digest(code)}'" for code in (our_code(), table_code(), plot_code()))
    server = "'self'" if live else "'none'"
    return (f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; "
            f"connect-src {server}; base-uri 'none'; form-action 'none'")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shipped(package: str, *parts: str) -> str:
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place).joinpath(*parts)
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise UserError(f"the page needs {'/'.join(parts)} of the package {package}, which is not installed; "
                    f"run: pip install {package}")
