"""When trainings are due without anybody asking."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from rtmlops_lib.errors import UsageError

__all__ = ["TrainSchedule"]

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# A trainer that was stopped or busy at the hour still keeps the day.
GRACE_SECONDS = 3_600


class TrainSchedule:
    """A crontab line in UTC; it only says that the hour has come.

    Parameters
    ----------
    line : str
        Minute, hour, day, month, day of week; empty for never.

    Examples
    --------
    >>> schedule = TrainSchedule("0 3 * * *")
    >>> schedule.next_after(datetime(2026, 11, 23, 12, tzinfo=UTC)).isoformat()
    '2026-11-24T03:00:00+00:00'
    >>> sunday = TrainSchedule("0 3 * * 0")
    >>> sunday.next_after(datetime(2026, 11, 23, 12, tzinfo=UTC)).isoformat()
    '2026-11-29T03:00:00+00:00'
    >>> TrainSchedule("at three")
    Traceback (most recent call last):
    ...
    rtmlops_lib.errors.UsageError: RTMLOPS_TRAIN_SCHEDULE 'at three' is no crontab \
line: Wrong number of fields; got 2, expected 5; write minute, hour, day, month, day \
of week, in UTC: '0 3 * * *'
    """

    def __init__(self, line: str) -> None:
        from apscheduler.triggers.cron import CronTrigger

        self._due = threading.Event()
        self._scheduler: object | None = None
        self._trigger: CronTrigger | None = None
        if not line.strip():
            return
        try:
            fields = line.split()
            if len(fields) == 5:
                fields[4] = _weekdays(fields[4])
            self._trigger = CronTrigger.from_crontab(" ".join(fields), timezone=UTC)
        except ValueError as error:
            raise UsageError(
                f"RTMLOPS_TRAIN_SCHEDULE {line!r} is no crontab line: {error}",
                remedy="write minute, hour, day, month, day of week, in UTC: "
                "'0 3 * * *'",
            ) from error

    def next_after(self, moment: datetime) -> datetime | None:
        """Return when it is due next; None for never."""
        if self._trigger is None:
            return None
        found: datetime | None = self._trigger.get_next_fire_time(None, moment)
        return found

    def start(self) -> None:
        """Begin to watch the clock, on a thread of the scheduler's own."""
        if self._trigger is None:
            return
        from apscheduler.schedulers.background import BackgroundScheduler

        scheduler = BackgroundScheduler(timezone=UTC, daemon=True)
        scheduler.add_job(
            self._due.set,
            self._trigger,
            misfire_grace_time=GRACE_SECONDS,
            coalesce=True,
        )
        scheduler.start()
        self._scheduler = scheduler

    def due(self) -> bool:
        """Return whether the hour has come since this was asked last."""
        if self._due.is_set():
            self._due.clear()
            return True
        return False

    def close(self) -> None:
        """Stop watching; twice is fine."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.shutdown(wait=False)  # type: ignore[attr-defined]


def _weekdays(field: str) -> str:
    """Return a crontab's days of the week by name: the library counts from Monday.

    Examples
    --------
    >>> _weekdays("1-5"), _weekdays("7"), _weekdays("fri-sun"), _weekdays("*/3")
    ('mon,tue,wed,thu,fri', 'sun', 'fri,sat,sun', 'sun,wed,sat')
    """
    if field == "*":
        return field
    found: list[str] = []
    for part in field.lower().split(","):
        days, _, step = part.partition("/")
        first, dash, last = days.partition("-")
        if days == "*":
            first, dash, last = "0", "-", "6"
        begin = _weekday(first)
        end = _weekday(last if dash else "6" if step else first)
        every = int(step or 1)
        if every < 1:
            raise ValueError(f"{part!r} has no step")
        end += 7 if end < begin else 0
        found += [_DAYS[day % 7] for day in range(begin, end + 1, every)]
    return ",".join(dict.fromkeys(found))


def _weekday(text: str) -> int:
    if text in _DAYS:
        return _DAYS.index(text)
    if text in tuple("01234567"):
        return int(text)
    raise ValueError(f"{text!r} is no day of the week; they are 0 to 7, or sun to sat")
