"""Deaths on cue."""

from __future__ import annotations

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.teaching.kills import Killed, Kills


def test_only_the_chosen_visits_are_fatal() -> None:
    kills, passed = Kills(2), []
    for visit in (1, 2, 3):
        try:
            kills.here()
        except Killed:
            continue
        passed.append(visit)
    assert passed == [1, 3]


def test_visits_are_counted_over_all_lives() -> None:
    kills, begun = Kills(1, 3), []

    def life() -> None:
        begun.append(len(begun))
        kills.here()
        kills.here()

    assert kills.survive(life) == 2
    assert begun == [0, 1, 2]


def test_code_that_catches_exceptions_cannot_outlive_a_kill() -> None:
    with pytest.raises(Killed):
        try:
            Kills(1).here()
        except Exception:
            pytest.fail("a kill was caught as an exception")


def test_other_failures_are_not_survived() -> None:
    def life() -> None:
        raise ValueError("not JSON")

    with pytest.raises(ValueError, match="not JSON"):
        Kills(1).survive(life)


def test_a_visit_before_the_first_is_refused() -> None:
    with pytest.raises(UsageError, match="count from 1"):
        Kills(0)
