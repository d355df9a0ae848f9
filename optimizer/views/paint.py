"""Lines of styled text as the bytes of one terminal: its colours, its character set, its font."""

from __future__ import annotations

import io
import os
from collections.abc import Hashable, Sequence

from rich.color import ColorSystem
from rich.console import Console
from rich.text import Text

#: For terminals whose character set is not UTF-8.
_ASCII = str.maketrans("─━╸│╭╮╰╯–±×·…°", "-=>|++++-~x..o")  # noqa: RUF001
#: The Linux console's fonts have no rounded corners and no heavy lines.
_CONSOLE_FONT = str.maketrans("╭╮╰╯━╸", "┌┐└┘■■")
_COLOUR_SYSTEMS = {
    "standard": ColorSystem.STANDARD, "256": ColorSystem.EIGHT_BIT, "truecolor": ColorSystem.TRUECOLOR,
}


class Painter:
    """Turns lines into strings with the codes of this terminal's colours; none where the person set ``NO_COLOR``."""

    def __init__(self, encoding: str) -> None:
        """``encoding``: the terminal's, as `codecs` names it; ``TERM`` and its kin are read from the environment."""
        self._console = Console(file=io.StringIO(), force_terminal=True, legacy_windows=False)
        self._colours = _COLOUR_SYSTEMS.get(self._console.color_system or "")
        self._ascii = encoding != "utf-8"
        self._plain_font = os.environ.get("TERM") == "linux"
        self._painted: dict[Hashable, str] = {}

    def paint(self, lines: Sequence[Text]) -> list[str]:
        """The lines, one string each; those that are as in the call before cost nothing."""
        keys = [(line.plain, tuple(line.spans), line.style) for line in lines]
        before = self._painted
        self._painted = {key: before.get(key) or self._line(line) for key, line in zip(keys, lines, strict=True)}
        return [self._painted[key] for key in keys]

    def _line(self, line: Text) -> str:
        # What `Console.print` does for a line that fits, without laying it out, which is most of its time.
        parts = []
        for text, style, _ in line.render(self._console, end=""):
            if style is not None and self._console.no_color:
                style = style.without_color
            parts.append(style.render(text, color_system=self._colours) if style else text)
        whole = "".join(parts)
        if self._plain_font:
            whole = whole.translate(_CONSOLE_FONT)
        return whole.translate(_ASCII) if self._ascii else whole
