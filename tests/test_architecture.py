"""The house rules, read from the code itself: who may import whom, and what a process never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from optimizer.models import family_names, load_family

PACKAGE = Path(__file__).resolve().parent.parent / "optimizer"

#: Six layers, lowest first. A module imports any lower layer, and of its own layer only what stands beside it.
LAYERS: tuple[dict[str, set[str]], ...] = (
    {
        "errors": set(), "process": set(), "status": {"durable"}, "guard": set(), "ending": set(),
        "messages": {"errors"}, "records": {"errors"}, "journal": {"durable", "errors"}, "gpus": {"errors"},
        "backoff": set(), "durable": set(), "resources": {"errors", "gpus"}, "child": {"process"},
        "companion": {"backoff"}, "groups": {"companion", "guard", "process"},
        "control": {"durable"}, "standstill": set(), "rations": set(),
        "governor": {"process", "rations", "standstill"}, "throttle": {"companion", "process", "standstill"},
    },
    {
        "metrics": set(), "curves": set(), "search_space": set(), "models": {"search_space"},
        "datasets": {"metrics", "models"}, "config": {"datasets", "metrics"},
    },
    {
        "transport": set(), "store": set(), "contract": set(), "prediction": {"store"},
        "evaluation": {"prediction", "store"},
        "failures": set(), "growth": set(), "worker": {"evaluation", "failures", "growth", "store", "transport"},
    },
    {
        "strategies": set(), "study": {"strategies"}, "budgets": set(), "dispatch": set(), "backends": set(),
        "layout": set(), "remembered": set(), "calibration": {"backends", "layout", "remembered", "scheduler"},
        "scheduler": {"backends", "budgets", "dispatch", "layout", "remembered", "strategies", "study"},
    },
    {"views": set()},
    {"cli": set(), "__main__": {"cli"}},
)

#: Of these, only a part may be imported by those.
ONLY_PARTS = {
    ("datasets", "models"): "models.base",  # what a family may know of a table; no family itself
    ("scheduler", "datasets"): "datasets.problem",  # the rest reads tables, which is for children
    ("scheduler", "config"): "config.resolved",  # a study that was checked; how it is written is the door's affair
    ("strategies", "study"): "",
}

#: Libraries that have one home.
HOMES = {
    "catboost": ("models.catboost",), "lightgbm": ("models.lightgbm", "models.opencl"), "xgboost": ("models.xgboost",),
    "optuna": ("study", "strategies.samplers", "strategies.mixture", "strategies.parzen", "strategies.thrift",
               "strategies.base"),
    "sqlalchemy": ("study.database", "study.insert"), "sqlite3": ("study.database", "study.repair", "study.snapshot"),
    "pynvml": ("gpus",), "pydantic": ("config",), "pydantic_core": ("config",),
    "tree_sitter": ("config",), "tree_sitter_toml": ("config",), "click": ("cli",), "rich": ("views", "cli"),
    "pandas": ("datasets", "models.catboost"), "pyarrow": ("datasets",),
    "starlette": ("views.page",), "uvicorn": ("views.page.serving",), "optuna_dashboard": ("views.page.optuna_app",),
}

#: What a bare interpreter must not have loaded after these imports.
ISLANDS = {
    "a worker": (
        ("worker", "transport", "evaluation", "store", "models", "datasets.table"),
        ("optuna", "sqlalchemy", "rich", "pydantic", "click", "optimizer.views", "optimizer.config", "pandas"),
    ),
    "the scheduler": (
        ("scheduler.start", "backends.local"),
        ("sqlalchemy", "xgboost", "lightgbm", "catboost", "sklearn", "pandas", "pyarrow", "rich", "click",
         "optimizer.views"),
    ),
    "the recorder": (("study.recorder",), ("xgboost", "sklearn", "pandas", "pyarrow", "rich", "optimizer.views")),
    "the reader of a dataset": (("datasets.prepare",), ("optuna", "rich", "click", "optimizer.views")),
    "the child that describes families": (("models.describe",), ("optuna", "rich", "numpy", "sklearn")),
    "the child that asks NVML": (("gpus", "child"), ("numpy", "optuna", "pynvml", "optimizer.messages")),
    "the guard of process groups": (
        ("guard",), ("subprocess", "ctypes", "json", "msgspec", "numpy", "optimizer.process"),
    ),
    "the governor of a run's share": (("governor",), ("msgspec", "numpy", "optuna")),
    "the dashboard": (("views.dashboard",), ("numpy", "optuna", "pydantic", "sklearn", "pandas", "click",
                                             "optimizer.scheduler", "optimizer.config")),
    "the command that checks a family": (("contract.judging",), ("numpy", "optuna", "sklearn", "pandas")),
    "the door": (("cli",), ("optuna", "sklearn", "pandas", "starlette", "uvicorn", "optimizer.views.page")),
    "a page's server": (("views.page.server", "views.page.serving", "views.page.build"),
                        ("optuna", "pandas", "sklearn", "plotly", "itables", "pydantic", "optimizer.config")),
    "a study file's reader": (("config.load",), ("numpy", "optuna", "pandas", "sklearn", "rich")),
}

LONGEST_FILE = 450


def modules() -> dict[str, Path]:
    """Every module of the package, by its name without ``optimizer.``; the package itself is the empty name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Everything that a file says, the module first."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imported(path: Path) -> tuple[tuple[int, str], ...]:
    """Line and full name of everything a file imports, wherever in it."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written out in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = whole.removeprefix("optimizer.") in MODULES
                found.append((node.lineno, whole if is_module else str(node.module)))
    return tuple(found)


def layer_of(unit: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if unit in layer)


def is_part(module: str, whole: str) -> bool:
    return module == whole or module.startswith(f"{whole}.")


def why_not(importer: str, target: str) -> str | None:
    """What is wrong with one of our modules importing another, or ``None``."""
    here, there = importer.split(".")[0], target.split(".")[0]
    if here == there or not here or not there:
        return None
    if there == "views" and here != "cli":
        return "nothing but cli imports a view"
    part = ONLY_PARTS.get((here, there))
    if part is not None and not is_part(target, part):
        return f"of {there}, {here} imports {part or 'nothing'} only"
    up = layer_of(there) - layer_of(here)
    if up > 0:
        return f"{there} is above {here}"
    if up == 0 and there not in LAYERS[layer_of(here)][here]:
        return f"{there} is beside {here}, and the table does not join them"
    return None


def test_every_module_has_a_layer() -> None:
    units = {name.split(".")[0] for name in MODULES} - {""}

    assert units == {unit for layer in LAYERS for unit in layer}


def test_imports_go_down_or_stay_where_the_table_joins() -> None:
    wrong = []
    for importer, path in MODULES.items():
        for line, name in imported(path):
            if is_part(name, "optimizer"):
                reason = why_not(importer, name.removeprefix("optimizer").removeprefix("."))
                if reason:
                    wrong.append(f"{path}:{line}: imports {name}: {reason}")

    assert not wrong, "\n".join(wrong)


def test_the_table_refuses_what_it_should() -> None:
    assert why_not("messages", "transport") == "transport is above messages"
    assert why_not("scheduler.loop", "views.lines") == "nothing but cli imports a view"
    assert why_not("datasets.table", "models.xgboost") == "of models, datasets imports models.base only"
    assert why_not("budgets", "dispatch") == "dispatch is beside budgets, and the table does not join them"
    assert why_not("datasets.table", "models.base") is None
    assert why_not("cli.run", "views.lines") is None


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_in_its_home_only(library: str) -> None:
    wrong = [f"{path}:{line}: imports {name}" for importer, path in MODULES.items() for line, name in imported(path)
             if is_part(name, library) and not any(is_part(importer, home) for home in HOMES[library])]

    assert not wrong, "\n".join(wrong)


def loaded_by(imports: list[str]) -> set[str]:
    """What a bare interpreter has loaded after these imports."""
    script = "".join(f"import {name}\n" for name in imports) + "import sys\nprint(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.split())


@pytest.mark.parametrize("island", ISLANDS)
def test_a_process_loads_only_what_it_needs(island: str) -> None:
    imports, never = ISLANDS[island]

    loaded = loaded_by([f"optimizer.{name}" for name in imports])

    assert loaded.isdisjoint(never), f"{island} loads {sorted(loaded.intersection(never))}"


def test_a_family_is_imported_without_its_library() -> None:
    libraries = {load_family(name).module for name in family_names()}

    loaded = loaded_by([f"optimizer.models.{name}" for name in family_names()])

    assert loaded.isdisjoint({*libraries, "numpy", "sklearn"})


def test_a_worker_with_every_library_still_knows_no_optuna_and_no_screen() -> None:
    libraries = sorted({load_family(name).module for name in family_names()})

    loaded = loaded_by(["optimizer.worker", "optimizer.evaluation", *libraries])

    # Not rich: scikit-learn loads it by itself, for progress bars that nobody asks for.
    assert not loaded.intersection({"optuna", "sqlalchemy", "pydantic", "click", "optimizer.views"})


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and public methods of its public classes."""
    def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
                yield node
                if isinstance(node, ast.ClassDef):
                    yield from public(node.body)

    return public(tree.body)


def test_everything_public_says_what_it_is() -> None:
    silent = []
    for name, path in MODULES.items():
        tree = nodes(path)[0]
        assert isinstance(tree, ast.Module)
        if tree.body and ast.get_docstring(tree) is None:
            silent.append(f"{path}:1: module {name}")
        silent += [f"{path}:{node.lineno}: {node.name}" for node in public_definitions(tree)
                   if ast.get_docstring(node) is None]

    assert not silent, "\n".join(silent)


def test_no_file_is_too_long_to_read() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES.values()}

    assert not {str(path): lines for path, lines in lengths.items() if lines > LONGEST_FILE}


def test_only_the_door_prints() -> None:
    wrong = [f"{path}:{node.lineno}" for name, path in MODULES.items() if not is_part(name, "cli")
             for node in nodes(path)
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"]

    assert not wrong, "\n".join(wrong)


def test_nothing_is_unpickled() -> None:
    """Any process of ours may read files that another made, so none of them may run code on being read."""
    wrong = [f"{path}:{line}: imports {name}" for path in MODULES.values() for line, name in imported(path)
             if name.split(".")[0] in {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}]

    assert not wrong, "\n".join(wrong)
