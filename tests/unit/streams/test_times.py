"""Instants as text, held against the standard library."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtmlops_lib.streams._times import TimeFault, format_iso, parse_iso

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FORM = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d(:?\d\d)?)", re.ASCII
)
zones = st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(
    datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones | st.just(UTC)
)
near_times = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?"
    r"(Z|[+-][0-2][0-9](:?[0-6][0-9])?)?",
    fullmatch=True,
)


def expected(text: str) -> int | None:
    """The microseconds by `fromisoformat`, in the forms that we accept."""
    # Some releases of the library take an offset of sixty minutes and more.
    if not FORM.fullmatch(text) or re.search(r"[+-]\d\d:?[6-9]\d$", text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        return (moment - EPOCH) // MICROSECOND if moment.astimezone(UTC) else None
    except (ValueError, OverflowError):
        return None


@given(st.lists(moments.map(datetime.isoformat) | near_times | st.text(), max_size=9))
@example(["2025-09-30T12:34:56Z", "2025-09-30T12:34:56.123456789+00:00"])
@example(["2024-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "1900-02-28T23:59:59Z"])
@example(["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.9999999-00:01"])
@example(["0000-12-31T23:59:59-01:00", "2025-13-01T00:00:00Z", "x" * 20, ""])
@example(["0001-01-01T00:00:00-0060", "2025-09-30T12:34:56+01:60"])
@example(["x" * 40, "", "2025-09-30T12:34:56Z", "2025-09-30T12:34:5६Z"])
@settings(max_examples=400, deadline=None)
def test_parsing_agrees_with_the_standard_library(texts):
    times, faults = parse_iso(texts)
    found = [
        None if fault else time
        for time, fault in zip(times.tolist(), faults.tolist(), strict=True)
    ]
    assert found == [expected(text) for text in texts]


@given(st.lists(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)))
@settings(deadline=None)
def test_formatting_and_parsing_are_inverse(times):
    array = np.array(times, np.int64)
    parsed, faults = parse_iso(format_iso(array))
    assert not faults.any()
    assert parsed.tolist() == times


def test_the_written_fraction_is_the_shortest():
    times = np.array([-1, 0, 1_000, 1_234_500])
    assert format_iso(times) == [
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00.001Z",
        "1970-01-01T00:00:01.2345Z",
    ]


@pytest.mark.parametrize("zone", ["Z", "z", "+00", "+0000", "-00:00"])
def test_digits_beyond_microseconds_are_cut(zone):
    times, _ = parse_iso([f"1970-01-01t00:00:00.123456999{zone}"])
    assert times.tolist() == [123_456]


@pytest.mark.parametrize(
    "text", ["2025-09-30", "2025-09-30T12:34", "2025-09-30T12:34:56.5"]
)
def test_a_time_without_an_offset_is_called_naive(text):
    assert parse_iso([text, "never"])[1].tolist() == [TimeFault.NAIVE, TimeFault.BAD]
