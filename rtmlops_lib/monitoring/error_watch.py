"""A model's live error against the error it promised."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring.change_point import ChangePoint, change_point
from rtmlops_lib.monitoring.effective import effective_rows
from rtmlops_lib.monitoring.error_reference import (
    BINS_A_WINDOW,
    ErrorReference,
    error_arrays,
)
from rtmlops_lib.monitoring.evidence import Evidence
from rtmlops_lib.monitoring.histogram import bin_shares
from rtmlops_lib.monitoring.memory import Memory
from rtmlops_lib.monitoring.verdict import DriftVerdict

__all__ = ["ErrorWatch"]

# Windows whose bins are kept, to look for the change in.
_WINDOWS_KEPT = 24

Bins = list[list[float]]


class ErrorWatch:
    """Watches one model's error, window by window, in the order of time.

    The effect is growth: a window's mean error over that of the held-out rows, each
    error capped. Three of five windows over the threshold are drift, as for inputs;
    then the moment at which the error began to grow is estimated as well. One thread
    at a time.

    Parameters
    ----------
    reference : ErrorReference
    state : dict, optional
        What ``to_dict`` of an earlier watch returned.

    Notes
    -----
    Taught in chapter 09.

    Examples
    --------
    >>> random, minute = np.random.default_rng(1), 60_000_000
    >>> time = np.arange(20_000) * minute
    >>> error = np.abs(random.normal(0.0, 0.02, 20_000))
    >>> reference = ErrorReference.of_errors(
    ...     time[:10_000], error[:10_000], window=timedelta(hours=4)
    ... )
    >>> watch = ErrorWatch(reference)
    >>> error[10_800:] *= 2
    >>> for at in range(10_000, 11_760, 240):
    ...     verdict = watch.check(time[at : at + 240], error[at : at + 240])
    >>> verdict.state, verdict.change_point
    ('drift', '1970-01-08T12:00:00Z')
    >>> 10_800 / 60 / 24  # days after 1970-01-01 00:00
    7.5
    """

    def __init__(
        self, reference: ErrorReference, state: dict[str, Any] | None = None
    ) -> None:
        self.reference = reference
        self.memory = Memory()
        self._bins: Bins = []
        if state is not None:
            self.memory = Memory.from_dict(state["memory"])
            self._bins = [list(each) for each in state["bins"]]

    def to_dict(self) -> dict[str, Any]:
        """Return what a watch needs to go on after a restart, fit for JSON."""
        return {
            "memory": self.memory.to_dict(),
            "bins": [list(each) for each in self._bins],
        }

    def check(
        self,
        time: Any,
        error: Any,
        *,
        series: Any = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> DriftVerdict:
        """Judge the next window's errors, in any order.

        Parameters
        ----------
        time, error, series
            As for ``ErrorReference.of_errors``; ``series`` if it was given there.
        start, end : datetime, optional
            The window; by default its first and last row.

        Returns
        -------
        DriftVerdict
            Of kind ``error``. ``change_point`` is set where the state is ``drift``
            and a change can be seen in the windows kept; rows from there on know the
            world as it is now.
        """
        reference = self.reference
        if not np.isfinite(np.asarray(error, np.float64)).any():
            return self._unjudged("the window has no errors", start, end, 0)
        micros, values, code = error_arrays(time, error, series)
        first, last = start or _moment(micros[0]), end or _moment(micros[-1])
        rows = len(values) if code is not None else len(np.unique(micros))
        step = max(_step(micros, code), reference.step)
        # Where rows come more often than the reference's did, they tell no more.
        held = min(float(rows), _slots(micros, code, step))
        worth = effective_rows([round(held)], step, reference.tau)
        usual = reference.window_worth
        if worth < reference.settings.min_window_share * usual:
            reason = (
                f"the window's errors are worth {worth:,.0f} independent rows, about "
                f"{usual:,.0f} are usual"
            )
            return self._unjudged(reason, first, last, len(values))
        capped = np.minimum(values, reference.cap)
        evidence = Evidence(
            name=reference.measure,
            kind="error",
            unit="× held-out",
            effect=float(capped.mean()) / reference.mean,
            threshold=reference.threshold,
            rows=len(values),
            effective_rows=worth,
            reference_effective_rows=reference.effective_rows,
            tau=reference.tau,
            chunks=reference.chunks,
            reference_mean=reference.mean,
            current_mean=float(capped.mean()),
            edges=reference.edges,
            reference_shares=reference.shares,
            current_shares=bin_shares(values, reference.edges),
        )
        verdict = DriftVerdict.of_window(
            "error",
            (evidence,),
            self.memory,
            reference.settings,
            start=_iso(first),
            end=_iso(last),
            window_rows=len(values),
            reference_id=reference.reference_id,
            notes=reference.notes,
        )
        self.memory = verdict.after
        self._keep(micros, capped)
        return self._with_change(verdict, float(values.mean()))

    def _keep(self, time: NDArray[np.int64], capped: NDArray[np.float64]) -> None:
        width = max(1, self.reference.window // BINS_A_WINDOW)
        found, place, rows = np.unique(
            time // width, return_inverse=True, return_counts=True
        )
        sums = np.bincount(place, capped)
        new = zip((found * width).tolist(), rows.tolist(), sums.tolist(), strict=True)
        self._bins += [[int(at), int(count), total] for at, count, total in new]
        self._bins = self._bins[-_WINDOWS_KEPT * BINS_A_WINDOW :]

    def _with_change(self, verdict: DriftVerdict, plain_mean: float) -> DriftVerdict:
        details: dict[str, Any] = {
            "mean": plain_mean,
            "reference_mean": self.reference.plain_mean,
            "cap": self.reference.cap,
        }
        if verdict.state != "drift":
            return replace(verdict, details=details)
        at, rows, sums = np.array(self._bins, np.float64).T
        found = change_point(
            sums / rows, rows, self.reference.mean, self.reference.bin_deviation
        )
        details |= {
            "change_points": _instants(found, at),
            "bins": [list(each) for each in self._bins],
            "bin_deviation": self.reference.bin_deviation,
        }
        best = None if found.best is None else _iso(_moment(at[found.best]))
        return replace(verdict, details=details, change_point=best)

    def _unjudged(
        self, reason: str, start: datetime | None, end: datetime | None, rows: int
    ) -> DriftVerdict:
        return DriftVerdict.unjudged(
            "error",
            reason,
            self.memory,
            self.reference.settings,
            start="" if start is None else _iso(start),
            end="" if end is None else _iso(end),
            window_rows=rows,
            reference_id=self.reference.reference_id,
            notes=self.reference.notes,
        )


def _instants(found: ChangePoint, at: NDArray[np.float64]) -> dict[str, str | None]:
    places = {
        "level_shift": found.level_shift,
        "page_hinkley": found.page_hinkley,
        "adwin": found.adwin,
    }
    return {
        name: None if place is None else _iso(_moment(at[min(place, len(at) - 1)]))
        for name, place in places.items()
    }


def _step(time: NDArray[np.int64], series: NDArray[np.int64] | None) -> float:
    if series is None:
        gaps = np.diff(np.unique(time))
    else:
        order = np.lexsort((time, series))
        same = np.diff(series[order]) == 0
        gaps = np.diff(time[order])[same]
    return float(np.median(gaps)) if len(gaps) else 1.0


def _slots(
    time: NDArray[np.int64], series: NDArray[np.int64] | None, step: float
) -> float:
    """Return how many rows there would be if each series had one a step."""
    count = 1 if series is None else len(np.unique(series))
    return count * (float(time[-1] - time[0]) / step + 1)


def _moment(time_us: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(time_us))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
