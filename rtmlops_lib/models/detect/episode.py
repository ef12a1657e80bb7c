"""One anomaly from its first row to its last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtmlops_lib.models.features import micros

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Episode", "episodes_of_frame"]


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


def episodes_of_frame(frame: pd.DataFrame) -> list[Episode]:
    """Return the episodes that the table ``anomaly_events`` holds.

    Parameters
    ----------
    frame : DataFrame
        Its columns; ``series`` as mappings of key to value, in the spec's order.
    """
    times = {
        name: micros(frame[name]).tolist()
        for name in ("started_at", "ended_at", "peak_at", "confirmed_at")
    }
    return [
        Episode(
            series=_name(row["series"]),
            peak_score=float(row["peak_score"]),
            severity=row["severity"],
            metric=row["metric"] if isinstance(row["metric"], str) else None,
            explanation=row["explanation"],
            state=row["state"],
            rows=int(row["flagged_rows"]),
            **{name: values[at] for name, values in times.items()},
        )
        for at, row in enumerate(frame.to_dict("records"))
    ]


def _name(series: dict[str, str]) -> Any:
    values = tuple(series.values())
    return values[0] if len(values) == 1 else values
