"""Tables, bars and boxes of an exact width, for screens that must never break a border.

`rich.table` negotiates widths and wraps cells; a dashboard needs the opposite: every line exactly as wide as it is
told, and under pressure whole columns leave, least important first, before a name loses a letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.style import Style
from rich.text import Span, Text

from optimizer.views.formats import clean, finite

#: Cells between columns; one suffices where a column would have to leave otherwise.
_GAP = 2
#: A folded or shortened column never gets narrower than this.
_NARROWEST = 6


@dataclass(frozen=True)
class Bar:
    """A share of one, drawn as wide as there is room."""

    share: float | None
    style: str = ""
    #: Where there is no more room than needed.
    width: int = 8


#: A `Text` in a cell has one style, its own; styles of parts of it are not kept.
Cell = str | Text | Bar


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its header, and what happens to it where room is short."""

    header: str
    right: bool = False
    style: str = ""
    #: Columns leave in the order of this number, the greatest first; those of 0 stay.
    leaves: int = 0
    #: Whether its cells may be folded or shortened where nothing more can leave.
    elastic: bool = False
    #: For a column of bars: widest that it grows where there is room to spare.
    grows_to: int = 0


class _Piece(NamedTuple):
    """A cell as it is laid out. Not a `Text`: a screen has hundreds, and making them is what costs."""

    plain: str
    style: str | Style
    width: int


class Grid:
    """A table without borders."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        self._columns = columns
        self._rows = [[_piece(cell, column.style) for cell, column in zip(row, columns, strict=True)] for row in rows]

    def lines(self, width: int | None, *, header: bool = True, fold: bool = False) -> list[Text]:
        """The table's lines, none wider than ``width``; ``None`` takes what it needs.

        With ``fold``, a long name takes several lines.
        """
        if width is None:
            width = sum(self._natural_widths().values()) + _GAP * (len(self._columns) - 1)
        widths = self._widths(width, fold)
        lines = []
        if header:
            head = self._line([_piece(self._columns[i].header, "") for i in widths], widths, width)
            # Underlined from edge to edge, a header parts the screen without a line of its own.
            head.append(" " * (width - head.cell_len))
            head.stylize("dim underline")
            lines.append(head)
        for row in self._rows:
            cells = [row[i] for i in widths]
            parts = self._folded(cells, widths) if fold else [cells]
            lines += [self._line(part, widths, width) for part in parts]
        return lines

    def _widths(self, width: int, fold: bool) -> dict[int, int]:
        """Width of each column that stays, from left to right."""
        natural = self._natural_widths()
        wanted = dict(natural)
        if fold:
            # A name that takes more than half is folded before a column leaves for it.
            natural.update({i: min(natural[i], max(_NARROWEST, width // 2))
                            for i, c in enumerate(self._columns) if c.elastic})

        def total(gap: int = _GAP) -> int:
            return sum(natural.values()) + gap * (len(natural) - 1)

        for i in sorted(natural, key=lambda i: -self._columns[i].leaves):
            if total(gap=1) <= width or not self._columns[i].leaves:
                break
            del natural[i]
        for i in [i for i in natural if self._columns[i].elastic]:
            natural[i] = max(_NARROWEST, natural[i] - max(0, total(gap=1) - width))
        for i in [i for i in natural if self._columns[i].elastic]:
            natural[i] = max(natural[i], min(wanted[i], natural[i] + width - total()))
        for i in [i for i in natural if self._columns[i].grows_to]:
            natural[i] = max(natural[i], min(self._columns[i].grows_to, natural[i] + width - total()))
        return natural

    def _natural_widths(self) -> dict[int, int]:
        return {
            i: max([cell_len(c.header), *(row[i].width for row in self._rows)])
            for i, c in enumerate(self._columns)
        }

    def _line(self, cells: Sequence[_Piece | Bar], widths: dict[int, int], width: int) -> Text:
        parts: list[str | Text | tuple[str, str | Style]] = []
        spare = width - sum(widths.values()) - (len(widths) - 1)
        for (i, room), cell in zip(widths.items(), cells, strict=True):
            if parts:
                parts.append(" " * (_GAP if spare > 0 else 1))
                spare -= 1
            if isinstance(cell, Bar):
                parts.append(bar(cell, room))
                continue
            plain, style, natural = cell
            if natural > room:
                plain = _shortened(plain, room)
                natural = cell_len(plain)
            padding = " " * (room - natural)
            parts += (padding, (plain, style)) if self._columns[i].right else ((plain, style), padding)
        line = joined(*parts)
        if line.cell_len > width:
            line.truncate(width, overflow="crop")
        return line

    def _folded(self, cells: list[_Piece | Bar], widths: dict[int, int]) -> list[list[_Piece | Bar]]:
        parts: list[list[_Piece | Bar]] = [list(cells)]
        for position, (i, room) in enumerate(widths.items()):
            cell = cells[position]
            if isinstance(cell, Bar) or not self._columns[i].elastic or cell.width <= room:
                continue
            pieces = chop_cells(cell.plain, room)
            while len(parts) < len(pieces):
                parts.append([_piece("", "") for _ in widths])
            for part, piece in zip(parts, pieces, strict=False):
                part[position] = _piece(piece, cell.style)
        return parts


def _piece(cell: Cell, style: str | Style) -> _Piece | Bar:
    if isinstance(cell, Bar):
        return cell
    if isinstance(cell, Text):
        return _Piece(cell.plain, cell.style, cell.cell_len)
    plain = clean(cell)
    return _Piece(plain, style, cell_len(plain))


def joined(*parts: str | Text | tuple[str, str | Style]) -> Text:
    """The parts as one text, like `rich.text.Text.assemble` without its cost: a frame has over a thousand parts."""
    pieces: list[str] = []
    spans: list[Span] = []
    at = 0
    for part in parts:
        inner: list[Span] = []
        if isinstance(part, Text):
            text, style, inner = part.plain, part.style, part.spans
        elif isinstance(part, str):
            text, style = part, ""
        else:
            text, style = part
        if style:
            spans.append(Span(at, at + len(text), style))
        spans += [Span(at + s.start, at + s.end, s.style) for s in inner] if at else inner
        pieces.append(text)
        at += len(text)
    return Text("".join(pieces), spans=spans)


def shortened(text: Text, width: int) -> Text:
    """The text, or where it is too wide its head and tail: names often differ at the end alone."""
    return text if text.cell_len <= width else Text(_shortened(text.plain, width), style=text.style)


def _shortened(plain: str, width: int) -> str:
    if width < 2:
        return "…"[: max(0, width)]
    tail = plain[len(plain) - (width - 1) // 2 :] if width > 2 else ""
    # Characters of double width may still stick out.
    return set_cell_size(f"{plain[: width // 2]}…{tail}", width).rstrip()


def clipped(text: Text, width: int) -> Text:
    """The text, or where it is too wide its beginning: right for sentences."""
    text = text.copy()
    text.truncate(max(0, width), overflow="ellipsis")
    return text


def bar(value: Bar, width: int) -> Text:
    """A horizontal bar of exactly this width; filled and empty differ in shape, not in colour alone."""
    share = min(1.0, max(0.0, finite(value.share) or 0.0))
    halves = round(share * width * 2)
    filled = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return joined((filled, value.style), ("─" * (width - len(filled)), "dim"))


def boxed(title: Text, lines: Sequence[Text], width: int, height: int) -> list[Text]:
    """The lines in a rounded box of exactly this size, borders included."""
    inner = width - 4
    head = shortened(title, max(0, width - 6))
    result = [joined(("╭─ ", "dim"), head, (" " + "─" * (width - 5 - head.cell_len) + "╮", "dim"))]
    for i in range(height - 2):
        line = lines[i] if i < len(lines) else Text()
        if line.cell_len > inner:
            line = clipped(line, inner)
        result.append(joined(("│ ", "dim"), line, " " * (inner - line.cell_len), (" │", "dim")))
    result.append(Text("╰" + "─" * (width - 2) + "╯", style="dim"))
    return result


def beside(left: Sequence[Text], right: Sequence[Text], gap: int = 0) -> list[Text]:
    """Two blocks of equal height, side by side."""
    return [joined(a, " " * gap, b) for a, b in zip(left, right, strict=True)]
