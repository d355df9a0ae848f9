"""Mistakes of a study file, gathered and written so that a person can mend them: place, key, found, expected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from optimizer.config.names import NAME_RULE
from optimizer.config.place import Key, find_places, nearest
from optimizer.config.schema import sections
from optimizer.errors import KNOWN_HERE, StudyFileError, did_you_mean

#: What pydantic expects, in words; by the type of its error.
_EXPECTED = {
    "string_type": "text in quotes",
    "string_too_short": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
#: A list's key, and what is wrong with a member of it.
_InList = tuple[Key, str]
#: What is missing, where a key must be given.
_REQUIRED = {"datasets": "at least one [[datasets]]", "train": "the path of the training table"}
#: Most mistakes that are explained: a screen full; beyond, the file is of another kind.
_MOST = 20
#: Longest text that is repeated to the person.
_SHOWN = 60
_SHOWN_PATH = 300


class Mistakes:
    """Gathers mistakes; nothing is raised before all are known."""

    def __init__(self, path: str, text: str, flags: Mapping[str, str]) -> None:
        """Args:
            path: the study file, as the person wrote it.
            text: its content, for line numbers.
            flags: top-level keys that the command line has set, and by which flag.
        """
        self._path, self._text, self._flags = path, text, flags
        self._found: list[tuple[int, str, _InList | None]] = []
        #: How many more members of a list have the same mistake.
        self._alike: dict[_InList, int] = {}
        self._left_out = 0
        self._places: dict[Key, int] | None = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, key: Key, text: str) -> None:
        """Note a mistake at this key; of members of one list that have the same, the first is shown."""
        alike = (key[:-1], text) if key and isinstance(key[-1], int) else None
        if alike is not None and alike in self._alike:
            self._alike[alike] += 1
            return
        if len(self._found) >= _MOST:
            self._left_out += 1
            return
        if alike is not None:
            self._alike[alike] = 0
        flag = self._flags.get(str(key[0])) if key else None
        if flag is not None:
            self._found.append((0, f"{flag}: {text}", alike))
            return
        line = self._line(key)
        place = f"{self._path}:{line}" if line else self._path
        self._found.append((line or 0, f"{place}: {written_key(key)}: {text}" if key else f"{place}: {text}", alike))

    def add_all(self, error: ValidationError) -> None:
        """Note what pydantic found."""
        for detail in error.errors(include_url=False):
            text = _explained(detail, detail["loc"])
            if text is not None:
                self.add(detail["loc"], text)

    def raise_if_any(self) -> None:
        """Raise `StudyFileError` with every mistake in the order of the file, if there is one."""
        if not self._found:
            return
        once = {text: alike for _, text, alike in sorted(self._found, key=lambda mistake: mistake[0])}
        lines = [line + (_and_more(self._alike[alike]) if alike else "")
                 for line, alike in zip(_listed_once(once), once.values(), strict=True)]
        if self._left_out:
            lines.append(f"{self._path}: and {self._left_out} more mistakes; mend these first")
        raise StudyFileError(lines)

    def _line(self, key: Key) -> int | None:
        if self._places is None:
            self._places = find_places(self._text)
        return nearest(self._places, key)


def _and_more(members: int) -> str:
    return f"; and so {members:,} more of this list" if members else ""


def _listed_once(lines: Iterable[str]) -> list[str]:
    """The lines, with what is known at one place listed on the first that needs it only."""
    said: set[str] = set()
    shorter = []
    for line in lines:
        before, separator, known = line.rpartition(f"; {KNOWN_HERE}")
        shorter.append(f"{before}; as above" if separator and known in said else line)
        said.add(known)
    return shorter


def written_key(key: Key) -> str:
    """The key as a person would write it: ``datasets[0].metric``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = part.replace("-", "_").isidentifier() and part.isascii() and len(part) <= _SHOWN
            text += ("." if text else "") + (part if bare else shown(part))
    return text


def shown_path(path: object) -> str:
    """A path as a message shows it: as a value is, but with room for all of it."""
    text = str(path)
    return repr(text if len(text) <= _SHOWN_PATH else f"{text[:_SHOWN_PATH]}...")


def shown(value: object) -> str:
    """A value as a message shows it: in TOML's words, on one line, and short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[: _SHOWN - 3]}...")
    if isinstance(value, dict):
        text = f"{{{', '.join(f'{written_key((str(key),))} = {shown(member)}' for key, member in value.items())}}}"
        return text if len(text) <= _SHOWN else "a table"
    if isinstance(value, list | tuple):
        text = f"[{', '.join(shown(member) for member in value)}]"
        return text if len(text) <= _SHOWN else "a list"
    return str(value)


def _explained(detail: Any, key: Key) -> str | None:
    """A sentence for one of pydantic's errors; ``None`` where another error of the same file says it better."""
    kind, context, found = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(key)
    if kind == "missing":
        return f"missing; expected {_REQUIRED[str(key[-1])]}"
    if kind == "too_short":
        # Reported for a list of nothing but mistakes, too; those have their own lines.
        return None if found else f"found {shown(found)}, expected at least one"
    if kind == "literal_error":
        meant = _near(found, [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")])
        return f"found {shown(found)}, expected {context['expected']}{meant}"
    if kind == "string_pattern_mismatch":
        return f"found {shown(found)}, expected {NAME_RULE}"
    if kind == "value_error":
        return f"found {shown(found)}, {context['error']}"
    bounds: dict[str, Callable[[], str]] = {
        "greater_than_equal": lambda: f"at least {context['ge']}",
        "less_than_equal": lambda: f"at most {context['le']}",
        "string_too_long": lambda: "a single character",
    }
    if key == ("datasets",):
        return f"found {shown(found)}, expected tables: write [[datasets]] above the keys of each"
    expected = bounds[kind]() if kind in bounds else _EXPECTED.get(kind, detail["msg"])
    return f"found {shown(found)}, expected {expected}{_written_so(kind, found)}"


def _written_so(kind: str, found: object) -> str:
    """How to write what was certainly meant; empty where that is not certain."""
    if kind in ("int_type", "float_type") and isinstance(found, str) and found.isdecimal() and len(found) < _SHOWN:
        return f"; without quotes: {found}"
    if kind in ("tuple_type", "list_type") and isinstance(found, str) and '"' not in found and found.isprintable():
        return f'; in brackets: ["{found}"]' if len(found) < _SHOWN else "; in brackets"
    return ""


def _near(found: object, words: Collection[str]) -> str:
    hint = did_you_mean(found, words) if isinstance(found, str) else ""
    return f"; {hint}" if hint.startswith("did you mean") else ""


def _unknown_key(key: Key) -> str:
    """What was meant by a key that is not known where it stands."""
    name, header = str(key[-1]), _header(key)
    tables = {where: set(model.model_fields) for where, model in sections().items()}
    if header is None:
        return "unknown key; a range has low, high and log"
    for where, keys in tables.items():
        if name in keys and where != header:
            home = f"under {where}" if where else "at the top of the file, above the first [table]"
            return f"unknown key here; {name} belongs {home}"
    return f"unknown key; {did_you_mean(name, tables[header])}"


def _header(key: Key) -> str | None:
    """Which table of `sections` the key stands in; ``None`` inside a range."""
    tables = {1: "", 2: "[resources]", 3: "[[datasets]]" if key[0] == "datasets" else "[family.<name>]"}
    return tables.get(len(key))
