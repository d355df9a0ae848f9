"""Where in a study file each key stands, so that a mistake is shown with its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

#: A key as a path through the parsed file: table names and positions in lists.
Key = tuple[str | int, ...]

#: Levels below the top that are looked at; no key of a study file lies deeper.
_DEPTH = 8


def find_places(text: str) -> dict[Key, int]:
    """Line of every key, counted from 1; of tables and list members too.

    The text must be TOML that `tomllib` accepts. Where the two readers disagree keys are missing here, never
    wrong by more than the line of the table they belong to; see `nearest`.
    """
    import tree_sitter
    import tree_sitter_toml

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    places: dict[Key, int] = {}
    # Position of the latest member of each list of tables: [x.y] below [[x]] speaks of that member.
    latest: dict[Key, int] = {}
    for node in parser.parse(text.encode()).root_node.children:
        if node.type == "pair":
            _add_pair(node, (), places)
        elif node.type in ("table", "table_array_element"):
            key = _with_positions(_key(node.named_children[0]), latest) if node.named_children else ()
            if node.type == "table_array_element":
                places.setdefault(key, _line(node))
                latest[key] = latest.get(key, -1) + 1
                key = (*key, latest[key])
            places.setdefault(key, _line(node))
            for child in node.named_children:
                if child.type == "pair":
                    _add_pair(child, key, places)
    return places


def nearest(places: dict[Key, int], key: Key) -> int | None:
    """Line of the key, or of the innermost table around it that is known; ``None`` where none is.

    A table that only a longer header opens, as ``t`` in ``[t.u]``, has that header's line.
    """
    for end in range(len(key), 0, -1):
        if key[:end] in places:
            return places[key[:end]]
    return next((line for place, line in places.items() if key and place[:len(key)] == key), None)


def _add_pair(node: Node, table: Key, places: dict[Key, int]) -> None:
    children = node.named_children
    if len(children) < 2:
        return
    key = table
    for part in _key(children[0]):
        key = (*key, part)
        places.setdefault(key, _line(node))
    _add_value(children[-1], key, places)


def _add_value(node: Node, key: Key, places: dict[Key, int]) -> None:
    if len(key) > _DEPTH:
        return
    if node.type == "inline_table":
        for child in node.named_children:
            if child.type == "pair":
                _add_pair(child, key, places)
    elif node.type == "array":
        members = (child for child in node.named_children if child.type != "comment")
        for position, child in enumerate(members):
            places.setdefault((*key, position), _line(child))
            _add_value(child, (*key, position), places)


def _with_positions(key: Key, latest: dict[Key, int]) -> Key:
    """The key of a table header with the position of the list member that it speaks of."""
    full: Key = ()
    for number, part in enumerate(key):
        full = (*full, part)
        if full in latest and number < len(key) - 1:
            full = (*full, latest[full])
    return full


def _key(node: Node) -> Key:
    """The parts of a key; quoted ones are read by `tomllib`, which knows the escapes."""
    return tuple(_parts(node))


def _parts(node: Node) -> Iterator[str]:
    text = (node.text or b"").decode()
    if node.type == "bare_key":
        yield text
        return
    try:
        table: object = tomllib.loads(f"{text} = 0")
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    while isinstance(table, dict):
        ((part, table),) = table.items()
        yield part


def _line(node: Node) -> int:
    return int(node.start_point[0]) + 1
