"""How long to wait before something that failed is tried again."""

from __future__ import annotations


def pause_s(failures: int, *, first_s: float, most_s: float) -> float:
    """Seconds before the next try: ``first_s`` after the first failure, twice as long after each more, up to a bound.

    Args:
        failures: how often in a row it has failed, 1 or more; any number, for some things fail all night.
    """
    return min(most_s, first_s * 2.0 ** min(failures - 1, 60))
