"""What a study file writes as text: durations, clock times, amounts."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.config import values
from optimizer.config.names import NAME_PATTERN, as_name, is_name, stem


@pytest.mark.parametrize(("text", "seconds"), [
    ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("1d2h3m4s", 93784), ("120m", 7200), ("0h5m", 300),
])
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert values.duration(text) == seconds


@pytest.mark.parametrize("value", [
    "", "5", 5, "5 m", "m", "-5m", "5M", "1.5h", "30m1h", "1h1h", "0s", "3651d", "9" * 30 + "s", "\u0665m", "5m\n",
    None,
])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration"):
        values.duration(value)


@given(st.integers(1, 3650 * 86400))
def test_a_written_duration_is_read_back(seconds: int) -> None:
    assert values.duration(values.written_duration(seconds)) == seconds


def test_a_deadline_is_a_duration_or_a_clock_time() -> None:
    assert values.deadline("8h") == 8 * 3600
    assert values.deadline("06:30") == datetime.time(6, 30)
    assert values.deadline(datetime.time(6, 30)) == datetime.time(6, 30)


@pytest.mark.parametrize("value", ["6:30", "24:00", "06:60", "06:30:00", "tonight", 8, datetime.date(2025, 7, 5)])
def test_what_is_no_deadline_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration such as"):
        values.deadline(value)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "0%", "101%", "50", "50 %", "%", "1e1%", ""])
def test_what_is_no_amount_of_cores_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a number of cores"):
        values.cores(value)


@pytest.mark.parametrize(("amount", "mb"), [
    ("1GiB", 1024), ("512MiB", 512), ("0.5GB", 0.5e9 / 2**20), ("25%", 2500), ("100%", 10_000), ("1TB", 10_000),
])
def test_an_amount_of_memory_never_exceeds_what_there_is(amount: str, mb: float) -> None:
    assert values.memory_mb(values.memory(amount), 10_000) == pytest.approx(mb)


@pytest.mark.parametrize("value", [12, "12", "12G", "12 GB", "0GB", "0%", "GB", "1gb", None])
def test_what_is_no_amount_of_memory_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^expected an amount of memory"):
        values.memory(value)


@pytest.mark.parametrize(("whole_mb", "mb"), [
    (100_000, 90_000), (10_240, 9216), (8192, 7168), (2048, 1024), (512, 256),
])
def test_a_tenth_of_the_memory_and_at_least_a_gibibyte_is_left_to_the_person(whole_mb: float, mb: float) -> None:
    assert values.default_memory_mb(whole_mb) == mb


@pytest.mark.parametrize(("amount", "expected"), [
    ("20GB", 20 * 10**9), ("0.3MB", 300_000), ("50%", 500), ("100%", 1000), ("1MiB", 2**20),
])
def test_a_share_of_the_disk_is_a_share_of_what_is_free(amount: str, expected: int) -> None:
    assert values.disk_bytes(values.disk(amount), 1000) == expected


@pytest.mark.parametrize("value", [12, "12", "20G", "0GB", "0%", "101%", "", None])
def test_what_is_no_amount_of_disk_space_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^expected an amount of disk space"):
        values.disk(value)


def test_gpus_are_all_or_none_or_named() -> None:
    assert values.gpus("all") == "all"
    assert values.gpus("none") == ()
    assert values.gpus([]) == ()
    assert values.gpus([1, "GPU-8f"]) == (1, "GPU-8f")


@pytest.mark.parametrize("value", ["0", 0, [True], [-1], [1.0], ["0"], [""], [[0]], {}])
def test_what_names_no_gpus_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r'^expected "all", "none"'):
        values.gpus(value)


@given(st.text())
def test_any_text_becomes_a_name(text: str) -> None:
    assert is_name(as_name(text))


@pytest.mark.parametrize("text", ["", "-a", ".a", "..", "a/b", "a b", "a\n", "ä", "a" * 101])
def test_what_could_not_be_a_folder_is_no_name(text: str) -> None:
    assert not is_name(text)
    assert is_name("a" * 100)
    assert NAME_PATTERN.endswith("$")


@pytest.mark.parametrize(("file_name", "name"), [
    ("train.csv", "train"), ("a.csv.gz", "a"), ("v1.2.parquet", "v1.2"), ("a.CSV", "a"), ("a.b", "a.b"), ("csv", "csv"),
])
def test_a_tables_name_loses_the_endings_of_its_format(file_name: str, name: str) -> None:
    assert stem(file_name) == name
