"""How values are written for a person: short, in one unit, on one line, and never failing."""

from __future__ import annotations

import math

from optimizer.status import Limits

#: Stands where there is nothing to show.
NOTHING = "–"  # noqa: RUF001 - an en dash on purpose: a hyphen reads as a minus sign


def clean(text: object) -> str:
    """One printable line: control characters, line breaks and writing-direction marks become spaces."""
    line = str(text)
    return line if line.isprintable() else "".join(c if c.isprintable() else " " for c in line)


def finite(value: float | None) -> float | None:
    """The value, or ``None`` where it is none, not a number or without bounds."""
    return value if value is not None and math.isfinite(value) else None


def score(value: float | None, error: float | None = None) -> str:
    """A score, with as many digits as its standard error warrants: ``0.97365 ± 0.00051``.

    The error is shown with two significant digits and the score with the same decimals; without an error, a
    score has six digits.
    """
    value, error = finite(value), finite(error)
    if value is None:
        return NOTHING
    if error is None or error <= 0:
        return f"{value:.{_decimals(value, 6)}f}" if _is_plain(value) else f"{value:.4g}"
    if not (_is_plain(value) and _is_plain(error)):
        return f"{value:.5g} ± {error:.2g}"
    decimals = _decimals(error, 2)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _is_plain(value: float) -> bool:
    return value == 0 or 1e-5 <= abs(value) < 1e9


def _decimals(value: float, significant: int) -> int:
    leading = math.floor(math.log10(abs(value))) if value else 0
    return min(8, max(0, significant - 1 - leading - (leading < 0 and significant > 2)))


def duration(seconds: float | None) -> str:
    """A length of time in words, two units at most: ``2 h 14 min``."""
    whole = finite(seconds)
    if whole is None:
        return NOTHING
    left = int(max(0.0, whole))
    for size, unit, below, below_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if left >= size:
            rest = left % size // below
            return f"{left // size} {unit} {rest} {below_unit}" if rest else f"{left // size} {unit}"
    return f"{left} s"


def span(seconds: float | None, *, whole: bool = False) -> str:
    """A length of time for a table cell, in one unit: ``4.2 s``, ``48 s``, ``3.4 min``, ``2.1 h``, ``4.2 d``."""
    value = finite(seconds)
    if value is None:
        return NOTHING
    value = max(0.0, value)
    if value < 99.5:
        return f"{int(value)} s" if whole else f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    for size, unit, limit in ((60, "min", 100), (3600, "h", 100)):
        if value / size < limit:
            return f"{value / size:.1f} {unit}"
    return f"{value / 86400:.1f} d"


def of_budget(used: float | None, budget: float | None) -> str:
    """Time used out of a budget, in the budget's unit: ``23/60 min``; without a budget, the time used."""
    used, budget = finite(used), finite(budget)
    if used is None or budget is None or budget <= 0:
        return span(used, whole=True)
    size, unit = next(((s, u) for s, u in ((3600, "h"), (60, "min")) if budget >= 2 * s), (1, "s"))
    total = f"{budget / size:.1f}".removesuffix(".0")
    done = max(0.0, used) / size
    return f"{done:.1f}/{total} {unit}" if size == 3600 or "." in total else f"{int(done)}/{total} {unit}"


def memory(megabytes: float | None) -> str:
    """An amount of memory: ``512 MB``, ``1.2 GB``."""
    value = finite(megabytes)
    if value is None:
        return NOTHING
    if value < 999.5:
        return f"{max(0.0, value):.0f} MB"
    gigabytes = value / 1024
    return f"{gigabytes:.1f} GB" if gigabytes < 99.95 else f"{gigabytes:,.0f} GB"


def percent(share: float | None) -> str:
    """A share of one as a percentage: ``34 %``."""
    value = finite(share)
    return NOTHING if value is None else f"{100 * value:.0f} %"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: ``1 trial``, ``1,204 trials``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def limits_text(limits: Limits | None) -> str:
    """What of the machine a run may use, in a line."""
    if limits is None:
        return "it is starting, and says soon what it uses"
    held = memory(limits.memory_mb)
    if not limits.cores:
        return f"no core ({clean(limits.because)}), and up to {held} of memory"
    why = [w for w in (clean(limits.because), "steps back for others" if limits.stepping_back else "") if w]
    share = f"up to {percent(limits.cores / limits.of_cores)} of {count(limits.of_cores, 'core')}"
    return share + (f" ({', '.join(why)})" if why else "") + f", and {held} of memory"
