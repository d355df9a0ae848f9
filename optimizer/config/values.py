"""Values that a study file writes as text: durations, clock times, amounts of cores, memory and disk."""

from __future__ import annotations

import datetime
import re

#: What a duration looks like, for the JSON schema; at least one part, from large to small.
DURATION_PATTERN = r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"
CLOCK_PATTERN = r"^([01]\d|2[0-3]):[0-5]\d$"
HOURS_PATTERN = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"
PERCENT_PATTERN = r"^\d{1,3}(\.\d{1,6})?%$"
SIZE_PATTERN = r"^\d{1,9}(\.\d{1,6})?(MB|MiB|GB|GiB|TB|TiB)$"

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_BYTES = {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30, "TB": 10**12, "TiB": 2**40}
#: Longest duration in days; anything above is a slip of the finger.
_MAX_DAYS = 3650
#: What is left to the person where the study file says nothing of memory: a tenth, and at least this much.
_SPARED_MB = 1024.0


def duration(value: object) -> float:
    """Seconds of ``"90s"``, ``"5m"``, ``"1h30m"`` or ``"2d"``; raises `ValueError` with what was expected."""
    if not isinstance(value, str) or not re.fullmatch(DURATION_PATTERN, value, re.ASCII):
        raise ValueError('expected a duration such as "90s", "5m", "1h30m" or "2d"')
    parts = re.findall(r"(\d{1,9})([dhms])", value, re.ASCII)
    seconds = float(sum(int(number) * _SECONDS[unit] for number, unit in parts))
    if not 0 < seconds <= _MAX_DAYS * 86400 or "".join(n + u for n, u in parts) != value:
        raise ValueError(f'expected a duration above 0 and up to "{_MAX_DAYS}d"')
    return seconds


def written_duration(seconds: float) -> str:
    """The shortest text that `duration` reads back as these whole seconds."""
    left = round(seconds)
    text = ""
    for unit, size in _SECONDS.items():
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def deadline(value: object) -> float | datetime.time:
    """Seconds for a duration, a local clock time for ``"06:30"``; raises `ValueError` for anything else."""
    if isinstance(value, datetime.time):
        return value
    if isinstance(value, str) and re.fullmatch(CLOCK_PATTERN, value, re.ASCII):
        return datetime.time.fromisoformat(value)
    if isinstance(value, str) and re.fullmatch(DURATION_PATTERN, value, re.ASCII):
        return duration(value)
    raise ValueError('expected a duration such as "8h", or a local clock time such as "06:30"')


def cores(value: object) -> int | str:
    """A number of cores, or a per cent of them; raises `ValueError` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, str) and _share(value):
        return value
    raise ValueError('expected a number of cores from 1, or a share such as "50%"')


def cpu_limit(value: object) -> int | float | str:
    """Cores that may be kept busy, parts of one too, or a per cent; raises `ValueError` for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1024:
        return value
    if isinstance(value, str) and _share(value):
        return value
    raise ValueError('expected a share of the cores such as "40%", or a number of cores such as 1.5')


def quiet_cpu_limit(value: object) -> int | float | str:
    """As `cpu_limit`, or nothing at all: ``0``, ``"0%"``."""
    return 0 if value in (0, "0%") and not isinstance(value, bool) else cpu_limit(value)


def cpu_cores(limit: float | str, cores: int) -> float:
    """Cores of a limit that `cpu_limit` or `quiet_cpu_limit` has passed, where a run has so many; never more.

    Raises:
        ValueError: it would not have passed.
    """
    quiet_cpu_limit(limit)
    return min(float(cores), _share(limit) * cores if isinstance(limit, str) else float(limit))


def quiet_hours(value: object) -> tuple[str, ...]:
    """Stretches of the day such as ``"08:00-18:00"``, one or a list; raises `ValueError` for anything else."""
    hours = [value] if isinstance(value, str) else value
    if isinstance(hours, list) and hours and all(isinstance(h, str) and re.fullmatch(HOURS_PATTERN, h, re.ASCII)
                                                 for h in hours):
        if any(len(set(h.split("-"))) == 1 for h in hours):
            raise ValueError('expected hours that end at another time than they begin; all day is "00:00-12:00" and '
                             '"12:00-00:00"')
        return tuple(hours)
    raise ValueError('expected hours of the day such as "08:00-18:00", or a list of them')


def is_within(at: datetime.time, hours: str) -> bool:
    """Whether a local clock time lies in hours such as ``22:00-06:00``, which may pass midnight; the end does not."""
    begin, end = map(datetime.time.fromisoformat, hours.split("-"))
    return begin <= at < end if begin < end else at >= begin or at < end


def memory(value: object) -> str:
    """An amount such as ``12GB``, or a per cent of the memory; raises `ValueError` for anything else."""
    if isinstance(value, str) and (_share(value) or _bytes(value)):
        return value
    raise ValueError('expected an amount of memory such as "12GB" or "8GiB", or a share such as "50%"')


def memory_mb(amount: str, whole_mb: float) -> float:
    """MiB of an amount that `memory` has passed, where there are ``whole_mb`` in all; `ValueError` for any other."""
    share = _share(memory(amount))
    return min(whole_mb, share * whole_mb if share else _bytes(amount) / 2**20)


def default_memory_mb(whole_mb: float) -> float:
    """MiB that a run may take where nothing is said: all but a tenth and at least 1 GiB, of little memory the half."""
    return max(whole_mb - max(whole_mb / 10, _SPARED_MB), whole_mb / 2)


def disk(value: object) -> str:
    """An amount such as ``20GB``, or a per cent of the free space; raises `ValueError` for anything else."""
    if isinstance(value, str) and (_share(value) or _bytes(value)):
        return value
    raise ValueError('expected an amount of disk space such as "20GB", or a share of what is free such as "50%"')


def disk_bytes(amount: str, free: float) -> int:
    """Bytes of an amount that `disk` has passed, where so many are free."""
    share = _share(amount)
    return int(share * free if share else _bytes(amount))


def gpus(value: object) -> str | tuple[int | str, ...]:
    """``"all"``, or indices and UUIDs, none of them for ``"none"``; raises `ValueError` for anything else."""
    if value == "all":
        return "all"
    if value == "none":
        return ()
    if isinstance(value, list) and all(_names_gpu(card) for card in value):
        if len(set(value)) != len(value):
            raise ValueError("expected each GPU once")
        return tuple(value)
    raise ValueError('expected "all", "none", or a list of indices and UUIDs such as [0, "GPU-1b2c..."]')


def number(value: object) -> int | float:
    """The number itself; raises `ValueError` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a number")
    return value


def label(value: object) -> str:
    """A cell of a table as its text; a whole number stands for its digits; `ValueError` for the rest."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected text, as it stands in the table")
    return str(value)


def file_or_none(value: object) -> str | bool:
    """A path, or ``False`` for "there is none"; raises `ValueError` for anything else."""
    if value is False or (isinstance(value, str) and value):
        return value
    raise ValueError("expected the path of a file, or false where there is none")


def _names_gpu(card: object) -> bool:
    if isinstance(card, str):
        return bool(card) and not card.isdigit()
    return isinstance(card, int) and not isinstance(card, bool) and card >= 0


def _share(text: str) -> float:
    """The share that a per cent stands for, above 0 and at most 1; 0 for any other text."""
    if not re.fullmatch(PERCENT_PATTERN, text, re.ASCII):
        return 0.0
    share = float(text.rstrip("%")) / 100
    return share if share <= 1 else 0.0


def _bytes(text: str) -> float:
    """Bytes of a number with a unit; 0 for any other text."""
    if not re.fullmatch(SIZE_PATTERN, text, re.ASCII):
        return 0.0
    number, unit = re.findall(r"[\d.]+|[A-Za-z]+", text)
    return float(number) * _BYTES[unit]
