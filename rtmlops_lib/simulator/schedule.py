"""When which server misbehaves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rtmlops_lib.simulator._random import Stream, generator
from rtmlops_lib.simulator.anomaly import ANOMALIES, AnomalyKind
from rtmlops_lib.simulator.fleet import Fleet
from rtmlops_lib.simulator.settings import SimulatorSettings

__all__ = ["AnomalySchedule", "Occurrence"]

_HOUR_US = 3_600_000_000
# Chances of an onset per server and hour: many, so that dropping a second onset in
# one slot costs nothing against the shortest anomaly.
_SLOTS = 60
_MIN_SEVERITY = 0.6


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One anomaly on one server; steps count from 1970 in sampling steps.

    Parameters
    ----------
    kind : AnomalyKind
    server : int
        Position in the fleet.
    instance : int, optional
        Position of the befallen service, for anomalies of a service.
    severity : float
        0.6 to 1.
    onset, cause_end, end : int
        First affected step; the step at which the cause is gone; the last affected
        step.
    """

    kind: AnomalyKind
    server: int
    instance: int | None
    severity: float
    onset: int
    cause_end: int
    end: int


class AnomalySchedule:
    r"""The anomalies of a fleet, a function of seed and time alone.

    Onsets come at a constant rate :math:`\lambda`, so that a server is in at least
    one anomaly for a share :math:`p = 1 - e^{-\lambda D}` of its time, where D is
    the mix's mean duration (the coverage of an M/G/:math:`\infty` queue).

    Parameters
    ----------
    settings : SimulatorSettings
    fleet : Fleet

    Examples
    --------
    >>> settings = SimulatorSettings(servers=2, anomaly_prob=0.2, seed=3)
    >>> schedule = AnomalySchedule(settings, Fleet(2, seed=3))
    >>> first = schedule.between(172_000_000, 172_000_720)[0]
    >>> first.kind.name, first.server, first.onset < 172_000_720
    ('error_burst', 0, True)
    """

    def __init__(self, settings: SimulatorSettings, fleet: Fleet) -> None:
        self.settings = settings
        self.fleet = fleet
        self._step_us = settings.interval_us
        self._kinds = [ANOMALIES[name] for name in sorted(settings.mix)]
        weights = np.array([settings.mix[kind.name] for kind in self._kinds])
        shares = weights / weights.sum()
        self._edges = np.cumsum(shares)[:-1]
        step_minutes = settings.interval_seconds / 60
        mean_minutes = sum(
            share * max(kind.mean_minutes * settings.duration_scale, step_minutes)
            for share, kind in zip(shares, self._kinds, strict=True)
        )
        rate_per_minute = -math.log1p(-settings.anomaly_prob) / mean_minutes
        self.onsets_per_server_hour = 60 * rate_per_minute
        self._slot_prob = -math.expm1(-self.onsets_per_server_hour / _SLOTS)
        longest = max(kind.minutes[1] + kind.recovery_minutes for kind in self._kinds)
        self._longest_hours = math.ceil(longest * settings.duration_scale / 60) + 1
        self._hours: dict[int, list[Occurrence]] = {}

    def between(self, first_step: int, last_step: int) -> list[Occurrence]:
        """Return what touches the steps ``first_step <= step < last_step``."""
        last_hour = (last_step - 1) * self._step_us // _HOUR_US
        first_hour = first_step * self._step_us // _HOUR_US - self._longest_hours
        for hour in [hour for hour in self._hours if hour < first_hour]:
            del self._hours[hour]
        found = []
        for hour in range(first_hour, last_hour + 1):
            if hour not in self._hours:
                self._hours[hour] = list(self._draw(hour))
            found += [
                item
                for item in self._hours[hour]
                if item.onset < last_step and item.end >= first_step
            ]
        return found

    def _draw(self, hour: int) -> Iterator[Occurrence]:
        random = generator(self.settings.seed, Stream.ANOMALIES, hour)
        # Server by server, so that more servers leave the first ones' draws alone.
        u = random.random((len(self.fleet), _SLOTS, 6))
        taken = set()
        for server, slot in np.argwhere(u[:, :, 0] < self._slot_prob).tolist():
            _, place, which, length, severity, service = u[server, slot].tolist()
            kind = self._kinds[int(np.searchsorted(self._edges, which, "right"))]
            onset_us = hour * _HOUR_US + int((slot + place) / _SLOTS * _HOUR_US)
            onset = -(-onset_us // self._step_us)
            low, high = kind.minutes
            minutes = low + length * (high - low)
            cause_end = onset + self._steps(minutes, at_least=1)
            instance = None
            if kind.of_service:
                choices = self.fleet.instances_of(server)
                instance = int(choices[int(service * len(choices))])
            if (server, kind.name, onset) in taken:
                continue
            taken.add((server, kind.name, onset))
            yield Occurrence(
                kind=kind,
                server=server,
                instance=instance,
                severity=round(_MIN_SEVERITY + (1 - _MIN_SEVERITY) * severity, 3),
                onset=onset,
                cause_end=cause_end,
                end=cause_end - 1 + self._steps(kind.recovery_minutes),
            )

    def _steps(self, minutes: float, *, at_least: int = 0) -> int:
        scaled = minutes * self.settings.duration_scale * 60_000_000
        return max(at_least, round(scaled / self._step_us))
