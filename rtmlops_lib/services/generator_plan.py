"""How fast and from when: what fleet, step, rate and speed say of one another."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator.settings import (
    MAX_INTERVAL_SECONDS,
    MIN_INTERVAL_SECONDS,
)

__all__ = ["LivePlan", "drift_moment"]

# Values given together may differ by what rounding them for a command line costs.
_AGREEMENT = 0.005
_MAX_RATE = 1_000_000.0
_MAX_SPAN_DAYS = 3_650


@dataclass(frozen=True, slots=True)
class LivePlan:
    r"""A live run in which ``rate = servers * speed / interval``.

    Parameters
    ----------
    servers : int
    interval_seconds : float
        Simulated time between two readings of a server.
    speed : float
        Simulated seconds a second.
    rate : float
        Server readings a second, over the fleet.
    duration_seconds : float
        Wall time; 0 means until stopped.

    Examples
    --------
    >>> LivePlan.resolve(servers=20, default_interval_seconds=10.0, speed=60).rate
    120.0
    >>> LivePlan.resolve(servers=20, default_interval_seconds=10.0, rate=500).speed
    250.0
    """

    servers: int
    interval_seconds: float
    speed: float
    rate: float
    duration_seconds: float

    @classmethod
    def resolve(
        cls,
        *,
        servers: int,
        default_interval_seconds: float,
        interval_seconds: float | None = None,
        rate: float | None = None,
        speed: float | None = None,
        duration_seconds: float = 300.0,
    ) -> LivePlan:
        """Work out what was not given.

        Without a rate it follows from the speed (1 unless given). A rate alone
        decides the speed; a rate and a speed decide the step. A run without end has
        speed 1, since simulated time ends now: there the rate decides the step.

        Raises
        ------
        UsageError
            For what is impossible or contradicts itself, by the flags' names.
        """
        _positive("--rate", rate, "events/s", _MAX_RATE)
        _positive("--speed", speed, "simulated seconds a second", math.inf)
        if not 0 <= duration_seconds < math.inf:
            raise UsageError(
                f"--duration must be 0 s or more, got {duration_seconds:g} s",
                remedy="give wall seconds, or 0 to run until stopped",
            )
        endless = duration_seconds == 0
        if endless and speed not in (None, 1.0):
            raise UsageError(
                f"--speed {speed:g} cannot go with --duration 0: simulated time ends "
                "now, so a run without end has speed 1",
                remedy="give a --duration, or leave --speed out",
            )
        interval = interval_seconds
        if rate is None:
            speed = 1.0 if speed is None else speed
            interval = default_interval_seconds if interval is None else interval
            rate = servers * speed / interval
            _positive(
                "the rate that --servers, --speed and --interval make", rate, "/s"
            )
        elif speed is None and not endless:
            interval = default_interval_seconds if interval is None else interval
            speed = rate * interval / servers
        else:
            speed = 1.0 if speed is None else speed
            wanted = servers * speed / rate
            if interval is None:
                interval = _whole_milliseconds(wanted, rate, servers, speed)
            elif abs(wanted / interval - 1) > _AGREEMENT:
                raise UsageError(
                    f"--rate {rate:g} contradicts --interval {interval:g} s and "
                    f"--speed {speed:g}: {servers} servers read every {interval:g} s "
                    f"at that speed make {servers * speed / interval:g} events/s",
                    remedy="leave one of --rate, --interval and --speed out, or give "
                    f"--servers {max(1, round(rate * interval / speed))}",
                )
        if speed * duration_seconds > _MAX_SPAN_DAYS * 86_400:
            raise UsageError(
                f"speed {speed:g} over --duration {duration_seconds:g} s is more than "
                f"{_MAX_SPAN_DAYS} days of simulated time",
                remedy="lower --rate, --speed, --interval or --duration",
            )
        return cls(servers, interval, speed, rate, duration_seconds)

    @property
    def events(self) -> int | None:
        """Server readings in the whole run; None where it has no end."""
        if self.duration_seconds == 0:
            return None
        return max(1, round(self.rate * self.duration_seconds))

    def start(self, now: datetime) -> datetime:
        """Return the first event's time, on the grid of the sampling step.

        Simulated time meets the clock when the run ends; it is never ahead of it.
        """
        behind = max(0.0, self.duration_seconds * (self.speed - 1))
        step = round(self.interval_seconds * 1_000_000)
        start_us = round((now.timestamp() - behind) * 1_000_000) // step * step
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=start_us)

    def behind(self, newest: datetime | None, start: datetime) -> datetime:
        """Return ``start``, or the step after an event that was sent a moment ago.

        At the pace of the clock a run begins now, rounded down to its step: one that
        follows another within a step would send that step again.
        """
        step = timedelta(seconds=self.interval_seconds)
        just_sent = newest is not None and start <= newest < start + step
        return start + step if self.speed == 1.0 and just_sent else start


def drift_moment(text: str, start: datetime, end: datetime | None) -> datetime:
    """Read ``--drift-at``: a moment, ``+2h`` after the start, or ``50%`` of the span.

    Examples
    --------
    >>> start = datetime(2025, 9, 1, tzinfo=UTC)
    >>> drift_moment("+36h", start, None).isoformat()
    '2025-09-02T12:00:00+00:00'
    >>> drift_moment("50%", start, start + timedelta(days=4)).day
    3
    """
    if match := re.fullmatch(r"\+(\d+(?:\.\d+)?)(s|m|h|d|w)", text):
        unit = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}[match[2]]
        at = start + timedelta(seconds=float(match[1]) * unit)
    elif match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text):
        if end is None:
            raise UsageError(
                f"--drift-at {text} needs a span, and a run with --duration 0 has none",
                remedy="give +2h or a moment",
            )
        at = start + (end - start) * (float(match[1]) / 100)
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"--drift-at {text!r} is no moment",
                remedy="write 2025-09-30T12:00:00Z, +2h (simulated time after the "
                "start) or 50% (of the simulated span)",
            ) from None
        if at.tzinfo is None:
            raise UsageError(
                f"--drift-at {text!r} has no time zone", remedy=f"write {text}Z for UTC"
            )
    if end is not None and at >= end:
        raise UsageError(
            f"--drift-at {text} is {at:%Y-%m-%dT%H:%M:%SZ}, after the last event "
            f"at {end:%Y-%m-%dT%H:%M:%SZ}",
            remedy="give an earlier moment, or 50% for half-way",
        )
    return at


def _positive(
    name: str, value: float | None, unit: str, most: float = _MAX_RATE
) -> None:
    if value is not None and not (0 < value <= most and value < math.inf):
        limit = "" if most == math.inf else f" and at most {most:,.0f}"
        raise UsageError(
            f"{name} must be more than 0{limit} ({unit}), got {value:g}",
            remedy="give another value or leave it out",
        )


def _whole_milliseconds(
    wanted: float, rate: float, servers: int, speed: float
) -> float:
    interval = round(wanted, 3)
    if (
        not MIN_INTERVAL_SECONDS <= interval <= MAX_INTERVAL_SECONDS
        or abs(interval / wanted - 1) > _AGREEMENT
    ):
        raise UsageError(
            f"--rate {rate:g} over {servers} servers at speed {speed:g} means a step "
            f"of {wanted:g} s; it must be {MIN_INTERVAL_SECONDS:g} to "
            f"{MAX_INTERVAL_SECONDS:g} s",
            remedy="change --servers, --rate or --speed; with a --duration, --rate "
            "may stand alone and sets the speed",
        )
    return interval
