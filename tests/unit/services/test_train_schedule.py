"""Crontab lines mean what crontab says they mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.services.train_schedule import TrainSchedule

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def days(field: str) -> list[str]:
    """Return the days of one week on which it is due, from Sunday on."""
    schedule = TrainSchedule(f"0 3 * * {field}")
    sunday = datetime(2026, 11, 22, tzinfo=UTC)
    found = []
    for number, name in enumerate(DAYS):
        begin = sunday + timedelta(days=number)
        due = schedule.next_after(begin)
        assert due is not None
        if due < begin + timedelta(days=1):
            found.append(name)
    return found


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("*", [*DAYS]),
        ("0", ["sun"]),
        ("7", ["sun"]),
        ("1", ["mon"]),
        ("6", ["sat"]),
        ("1-5", ["mon", "tue", "wed", "thu", "fri"]),
        ("0-4", ["sun", "mon", "tue", "wed", "thu"]),
        ("5-7", ["sun", "fri", "sat"]),
        ("sat-mon", ["sun", "mon", "sat"]),
        ("*/2", ["sun", "tue", "thu", "sat"]),
        ("1-5/2", ["mon", "wed", "fri"]),
        ("MON,wed,6", ["mon", "wed", "sat"]),
    ],
)
def test_days_of_the_week_are_crontabs(field: str, expected: list[str]) -> None:
    assert days(field) == expected


@pytest.mark.parametrize("field", ["8", "monday", "1-", "-1", "*/0", "", "1,,2", "1/x"])
def test_what_is_no_day_is_said(field: str) -> None:
    with pytest.raises(UsageError, match="RTMLOPS_TRAIN_SCHEDULE"):
        TrainSchedule(f"0 3 * * {field}")
