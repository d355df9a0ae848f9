"""Every key of a study file has a line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from textwrap import dedent

from hypothesis import given
from hypothesis import strategies as st

from optimizer.config.place import Key, find_places, nearest

TEXT = dedent("""\
    folds = 5
    resources.cores = 2
    "a\\u0062" . 'c.d' = [1,
      # a comment
      {low = 3, "hi\\"gh" = [
        4]},
    ]
    [family.xgboost.space]
    max_depth = {low = 3, high = 8}
    [[datasets]]
    train = "a"
    [datasets.more]
    x = 1
    [[datasets]]
    name = \"\"\"
    [[datasets]]
    train = 'not a key'\"\"\"
    [[datasets.parts]]
    y = 1
    [[datasets.parts]]
    y = 2
""")


def test_every_key_has_its_line() -> None:
    assert find_places(TEXT) == {
        ("folds",): 1,
        ("resources",): 2, ("resources", "cores"): 2,
        ("ab",): 3, ("ab", "c.d"): 3, ("ab", "c.d", 0): 3,
        ("ab", "c.d", 1): 5, ("ab", "c.d", 1, "low"): 5, ("ab", "c.d", 1, 'hi"gh'): 5,
        ("ab", "c.d", 1, 'hi"gh', 0): 6,
        ("family", "xgboost", "space"): 8,
        ("family", "xgboost", "space", "max_depth"): 9,
        ("family", "xgboost", "space", "max_depth", "low"): 9,
        ("family", "xgboost", "space", "max_depth", "high"): 9,
        ("datasets",): 10, ("datasets", 0): 10, ("datasets", 0, "train"): 11,
        ("datasets", 0, "more"): 12, ("datasets", 0, "more", "x"): 13,
        ("datasets", 1): 14, ("datasets", 1, "name"): 15,
        ("datasets", 1, "parts"): 18, ("datasets", 1, "parts", 0): 18, ("datasets", 1, "parts", 0, "y"): 19,
        ("datasets", 1, "parts", 1): 20, ("datasets", 1, "parts", 1, "y"): 21,
    }


def test_a_key_without_a_line_has_that_of_the_table_around_it() -> None:
    places = find_places(TEXT)
    assert nearest(places, ("datasets", 1, "train")) == 14
    assert nearest(places, ("family", "lightgbm")) is None
    assert nearest({}, ()) is None


_SIMPLE = st.one_of(
    st.integers(0, 9).map(str), st.text(max_size=3).map(lambda t: '"' + "".join(f"\\U{ord(c):08x}" for c in t) + '"'))
_VALUES = st.recursive(
    _SIMPLE,
    lambda inner: st.lists(inner, max_size=3).map(lambda v: "[ # comment\n" + ",\n".join(v) + "\n]")
    | st.lists(inner, max_size=3).map(lambda v: "{" + ", ".join(f"k{i} = {x}" for i, x in enumerate(v)) + "}"),
    max_leaves=6,
)
_LINES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["a", "b.c", '"q r"', "'s'"]), _VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}"),
        st.sampled_from(["[t]", "[t.u]", "[[list]]", "[list.v]", "[[list.w]]", "", "# x = 1"]),
    ),
    max_size=8,
)


@given(_LINES)
def test_keys_have_the_places_that_the_reader_gives_them(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    places = find_places(text)
    # A table that only a longer header opens, as t in [t.u], has no line of its own.
    for key, is_leaf in _keys(data):
        assert key in places or not is_leaf


def _keys(value: object, key: Key = ()) -> Iterator[tuple[Key, bool]]:
    if key:
        yield key, not isinstance(value, dict | list)
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        if len(key) < 6:
            yield from _keys(member, (*key, name))
