"""One anomaly from its first row to its last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Episode"]


@dataclass(frozen=True, slots=True)
class Episode:
    """What is told of an anomaly, once, whatever the number of its rows.

    Parameters
    ----------
    series : hashable
        The series it befell.
    started_at, ended_at, peak_at : int
        Microseconds since 1970: the first and the last conspicuous row, and the
        one with the highest score. With ``series``, the start names the episode.
    confirmed_at : int
        The row at which it was first told of.
    peak_score : float
    severity : str
        Of the peak.
    metric : str or None
        Responsible at the peak.
    explanation : str
        A sentence on the peak.
    state : str
        ``open`` while it lasts, then ``closed``.
    rows : int
        Conspicuous rows so far.
    """

    series: Any
    started_at: int
    ended_at: int
    peak_at: int
    confirmed_at: int
    peak_score: float
    severity: str
    metric: str | None
    explanation: str
    state: str
    rows: int
