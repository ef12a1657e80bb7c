"""Bisecting finds exactly the bad rows, and keeps the order of the good ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.store.postgres.bisect import find_refused


@given(st.integers(1, 300), st.sets(st.integers(0, 299)), st.booleans())
def test_good_rows_are_stored_once_in_order_and_bad_ones_found(
    size: int, bad: set[int], tried: bool
) -> None:
    stored: list[int] = []
    bad = {row for row in bad if row < size}

    def attempt(part: range) -> str | None:
        if bad & set(part):
            return "bad"
        stored.extend(part)
        return None

    refused = find_refused(range(size), attempt, known_bad=tried and bool(bad))
    assert set(refused) == bad
    assert stored == [row for row in range(size) if row not in bad]


def test_one_bad_row_of_5000_costs_few_attempts() -> None:
    attempts = 0

    def attempt(part: range) -> str | None:
        nonlocal attempts
        attempts += 1
        return "bad" if 3_333 in part else None

    assert set(find_refused(range(5_000), attempt, known_bad=True)) == {3_333}
    assert attempts <= 2 * 13


def test_the_search_stops_when_told() -> None:
    refused = find_refused(range(1_000), lambda part: "bad", stop=lambda n: n >= 7)
    assert len(refused) == 7
