"""A model's errors on rows it was not trained on: what its live error is held to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring.effective import autocorrelation_time, effective_rows
from rtmlops_lib.monitoring.histogram import bin_edges, bin_shares
from rtmlops_lib.monitoring.settings import DriftSettings
from rtmlops_lib.monitoring.tail import Tail

__all__ = ["ErrorReference", "error_arrays"]

Array = NDArray[np.float64]
Places = NDArray[np.int64]

_MICROS = 1_000_000
_DAY = 86_400 * _MICROS
_WEEK = 7 * _DAY
# A broken server's error counts as an error that one row in a hundred has.
_CAP = 0.99
# Shorter chunks have a wider spread: they may stand in for longer ones, a threshold
# from them is too high rather than too low. Down to this share of a window.
_SHORTEST_CHUNK = 0.1
BINS_A_WINDOW = 60
# Rows of one series in a window, from which on their dependence can be seen.
_LEAST_PIECE = 8


@dataclass(frozen=True, slots=True)
class ErrorReference:
    """The level of a model's error, and how far it strays by itself.

    Parameters
    ----------
    reference_id : str
        The model's version.
    measure : str
        What the errors are: ``percentage error``, ``absolute error``.
    window, chunk : int
        Microseconds. The chunks are shorter than the windows where the held-out rows
        do not span enough of them: that errs on the side of silence.
    mean : float
        Of errors, each capped.
    plain_mean : float
        Without the cap: MAPE or MAE.
    cap : float
        The 99 % quantile of the errors: what any error counts at most.
    threshold : float, optional
        Growth of a window's mean that is too much; None for too few chunks.
    bin_deviation : float
        Standard deviation of the means of a sixtieth of a window.
    tau, step : float
        Autocorrelation time within windows, and sampling step, microseconds.
    effective_rows : float
    window_worth : float
        Effective rows that a window has where no row is missing.
    chunks, rows : int
    tail : Tail, optional
    edges, shares : tuple of float
        Histogram of the errors.
    settings : DriftSettings
    notes : tuple of str
    """

    reference_id: str
    measure: str
    window: int
    chunk: int
    mean: float
    plain_mean: float
    cap: float
    threshold: float | None
    bin_deviation: float
    tau: float
    step: float
    effective_rows: float
    window_worth: float
    chunks: int
    rows: int
    tail: Tail | None
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    settings: DriftSettings
    notes: tuple[str, ...] = ()

    @classmethod
    def of_errors(
        cls,
        time: Any,
        error: Any,
        *,
        window: timedelta,
        series: Any = None,
        measure: str = "percentage error",
        reference_id: str = "reference",
        settings: DriftSettings | None = None,
    ) -> ErrorReference:
        """Learn from errors on held-out rows, in any order.

        Parameters
        ----------
        time : array_like, shape (n,)
            Microseconds since 1970, or instants.
        error : array_like of float, shape (n,)
            Not negative; NaN where there was no prediction.
        series : array_like of str, shape (n,), optional
            Whose error: without it, rows of one instant count as one, and far more
            of them are needed.

        Raises
        ------
        UsageError
            Without a single error.
        """
        settings = DriftSettings() if settings is None else settings
        micros, error, code = error_arrays(time, error, series)
        length = round(window.total_seconds() * _MICROS)
        span = int(micros[-1] - micros[0]) + 1
        chunk = min(length, span // settings.min_chunks)
        chunk = max(chunk, int(_SHORTEST_CHUNK * length), 1)
        cap = float(np.quantile(error, _CAP))
        capped = np.minimum(error, cap)
        mean = max(float(capped.mean()), 1e-12)
        means = _chunk_means(micros, capped, chunk, settings.min_window_share)
        tail = (
            Tail.of_values(means / mean) if len(means) >= settings.min_chunks else None
        )
        threshold = None
        if tail is not None:
            threshold = max(settings.least_growth, tail.level(settings.alpha))
        bins = _chunk_means(micros, capped, max(1, length // BINS_A_WINDOW), 0.5)
        tau, step, count = _correlation(micros, capped, code, length)
        worth = effective_rows([count], step, tau)
        notes: tuple[str, ...] = ()
        if chunk < length:
            notes = (
                f"held-out rows span {span / length:.1f} windows: chunks of "
                f"{chunk / length:.0%} of a window stand in, thresholds are higher",
            )
        if span < _WEEK:
            notes += (
                f"held-out rows span {span / _DAY:.1f} days: the error of other days "
                "of the week is not known",
            )
        edges = bin_edges(error)
        return cls(
            reference_id=reference_id,
            measure=measure,
            window=length,
            chunk=chunk,
            mean=mean,
            plain_mean=float(error.mean()),
            cap=cap,
            threshold=threshold,
            bin_deviation=float(bins.std()) if len(bins) > 1 else 0.0,
            tau=tau,
            step=step,
            effective_rows=worth,
            window_worth=worth * min(1.0, length / span),
            chunks=len(means),
            rows=len(error),
            tail=tail,
            edges=edges,
            shares=bin_shares(error, edges),
            settings=settings,
            notes=notes,
        )

    @property
    def lacks(self) -> str | None:
        """Why no window can be judged against it, and what helps; None if one can."""
        need = self.settings.min_effective_rows
        if self.effective_rows < need:
            more = need / max(self.effective_rows, 1.0)
            return (
                f"the newest fifth of what it was trained on is worth "
                f"{self.effective_rows:,.0f} independent errors, {need:,.0f} are "
                f"needed; train on {more:.1f} times the hours or the servers "
                "(rtmlops train power --since, RTMLOPS_TRAIN_AFTER_CHANGE_HOURS)"
            )
        if self.threshold is None:
            return (
                f"the newest fifth of what it was trained on makes {self.chunks} "
                f"chunks of a window, {self.settings.min_chunks} are needed; train on "
                "more hours (rtmlops train power --since), or set "
                "RTMLOPS_MONITOR_WINDOW_SECONDS lower and train again"
            )
        held = self.settings.memory * self.window_worth
        if held < need:
            return (
                f"{self.settings.memory} windows are worth {held:,.0f} independent "
                f"errors, {need:,.0f} are needed; set RTMLOPS_MONITOR_WINDOW_SECONDS "
                f"{need / max(held, 1.0):.1f} times higher and train again"
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return {**asdict(self), "settings": self.settings.model_dump()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> ErrorReference:
        """Return what ``to_dict`` was made of."""
        given = dict(plain)
        given["settings"] = DriftSettings(**given["settings"])
        if given["tail"] is not None:
            given["tail"] = Tail(**given["tail"])
        for name in ("edges", "shares", "notes"):
            given[name] = tuple(given[name])
        return cls(**given)


def error_arrays(
    time: Any, error: Any, series: Any = None
) -> tuple[Places, Array, Places | None]:
    """Return known errors in the order of time, and their series as numbers.

    Raises
    ------
    UsageError
        Without a single error, or where they are negative.
    """
    import pandas as pd

    values = np.asarray(error, np.float64)
    micros = np.asarray(time)
    if micros.dtype.kind not in "iu":
        clock = pd.to_datetime(pd.Series(time), utc=True)
        naive = clock.dt.tz_localize(None).astype("datetime64[us]")
        micros = naive.to_numpy().view(np.int64)
    known = np.isfinite(values)
    if not known.any():
        raise UsageError(
            "there is no error to measure", remedy="give rows that were predicted"
        )
    if values[known].min() < 0:
        raise UsageError("errors are not negative", remedy="give absolute errors")
    order = np.flatnonzero(known)
    order = order[np.argsort(micros[order], kind="stable")]
    code = None
    if series is not None:
        code = pd.factorize(np.asarray(series, object))[0].astype(np.int64)[order]
    return micros[order].astype(np.int64), values[order], code


def _chunk_means(time: Places, x: Array, length: int, least: float) -> Array:
    _, chunk, rows = np.unique(time // length, return_inverse=True, return_counts=True)
    means = np.bincount(chunk, x) / rows
    whole: Array = means[rows >= least * np.median(rows)]
    return whole


def _correlation(
    time: Places, x: Array, series: Places | None, window: int
) -> tuple[float, float, int]:
    """Return autocorrelation time and step in microseconds, and rows that count.

    Dependence is measured within windows, about each one's own level: what the level
    does from window to window is in the threshold, which is made of such levels.
    """
    if series is None:
        time, place = np.unique(time, return_inverse=True)
        x = np.bincount(place, x) / np.bincount(place)
        series = np.zeros(len(time), np.int64)
    order = np.argsort(series, kind="stable")
    time, x, series = time[order], x[order], series[order]
    gaps = np.diff(time)[np.diff(series) == 0]
    step = max(float(np.median(gaps)), 1.0) if len(gaps) else 1.0
    new = (np.diff(series) != 0) | (np.diff(time // window) != 0)
    pieces = np.split(x, np.flatnonzero(new) + 1)
    whole = [piece for piece in pieces if len(piece) >= _LEAST_PIECE]
    if not whole:
        whole = np.split(x, np.flatnonzero(np.diff(series)) + 1)
    return step * autocorrelation_time(whole), step, len(x)
