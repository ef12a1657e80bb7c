"""What a run of the generator did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rtmlops_lib.streams import ColumnBatch

__all__ = ["GenerationSummary"]

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class GenerationSummary:
    """Counts, times and rates, for people and for scripts.

    Parameters
    ----------
    mode : str
        ``live``, ``backfill`` or ``direct``.
    rate_asked : float, optional
        Server readings a second, in live mode.
    sent : Counter of str
        Events by stream.
    seconds : float
        Wall time. A live run begins with its first event, not with the warm-up, and
        ends when the last event's share of the duration is over too.
    stopped_by : str, optional
        The signal that ended it early.
    kept_up : bool
        False where the rate asked for could not be held.
    duplicates, refused : int
        With ``direct``: events that stood in the store already, and those that
        stood there with other values.
    overlap_until : datetime, optional
        The newest event that Kafka held before, where the run begins earlier.
    """

    mode: str
    rate_asked: float | None = None
    sent: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    stopped_by: str | None = None
    kept_up: bool = True
    duplicates: int = 0
    refused: int = 0
    overlap_until: datetime | None = None
    first_us: int | None = None
    last_us: int | None = None

    def count(self, batch: ColumnBatch) -> None:
        """Add the events of a batch, whose times are in order."""
        self.sent[batch.spec.name] += len(batch)
        # Labels may begin before the run does.
        if len(batch) and batch.spec.name != "labels":
            if self.first_us is None:
                self.first_us = int(batch.time[0])
            self.last_us = int(batch.time[-1])

    @property
    def rate(self) -> float:
        """Server readings a second; of all streams where servers were left out."""
        events = self.sent["datacenter"] or self.sent.total()
        return events / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "mode": self.mode,
            "sent": dict(self.sent),
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 2),
            "rate_asked": self.rate_asked,
            "kept_up": self.kept_up,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "first_event": _iso_us(self.first_us),
            "last_event": _iso_us(self.last_us),
            "overlap_until": _iso(self.overlap_until),
            "stopped_by": self.stopped_by,
        }


def _iso_us(time_us: int | None) -> str | None:
    return None if time_us is None else _iso(_EPOCH + timedelta(microseconds=time_us))


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
