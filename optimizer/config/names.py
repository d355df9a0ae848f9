"""Names in a study file: how they may be written, and which are known."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Names of datasets and runs become folders, files and columns on a screen.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
#: The name of a person's own family becomes a folder and a module.
_FAMILY_PATTERN = r"[A-Za-z][A-Za-z0-9_]{0,49}"
FAMILY_RULE = 'the name of your own family is letters, digits and "_", beginning with a letter'
NAME_RULE = 'letters, digits, ".", "_" and "-", beginning with a letter or digit, at most 100'


@dataclass(frozen=True, kw_only=True)
class KnownNames:
    """Names of the plug-ins; the command line gathers them, for samplers and pruners lie in a higher layer."""

    families: tuple[str, ...]
    samplers: tuple[str, ...]
    pruners: tuple[str, ...]


def is_name(text: str) -> bool:
    """Whether a dataset or a run may be called so."""
    return re.fullmatch(NAME_PATTERN, text, re.ASCII) is not None and not text.endswith("\n")


def is_family_name(text: str) -> bool:
    """Whether a person's own family may be called so."""
    return re.fullmatch(_FAMILY_PATTERN, text, re.ASCII) is not None


def is_utf8(text: str) -> bool:
    """Whether the name of a file can be written into a record; Linux lets it be of any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_name(text: str) -> str:
    """The nearest allowed name: other characters become hyphens."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100]
    return name or "data"


def stem(file_name: str) -> str:
    """A table's file name without the endings of its format."""
    return re.sub(r"(\.(csv|tsv|txt|parquet|pq))?(\.gz)?$", "", file_name, flags=re.IGNORECASE)
