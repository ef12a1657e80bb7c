"""One column of a reference: its profile, its chunks, its thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring.effective import autocorrelation_time, effective_rows
from rtmlops_lib.monitoring.feature_reference import FeatureReference
from rtmlops_lib.monitoring.histogram import bin_edges, bin_shares
from rtmlops_lib.monitoring.measures._shares import category_counts
from rtmlops_lib.monitoring.measures.jensen_shannon import shannon_distance
from rtmlops_lib.monitoring.measures.wasserstein import (
    quantile_distance,
    quantile_grid,
)
from rtmlops_lib.monitoring.profile import CYCLES, HOUR_US, Profile, cycle_of
from rtmlops_lib.monitoring.settings import DriftSettings
from rtmlops_lib.monitoring.table import Table
from rtmlops_lib.monitoring.tail import Tail

__all__ = [
    "DEVIATION",
    "Ground",
    "as_lively",
    "grid_of",
    "ground_of",
    "learn_column",
    "learn_unseen",
    "moments",
    "skip_reason",
]

Array = NDArray[np.float64]
Places = NDArray[np.int64]

DEVIATION = "sd from its usual course"
# Below, a chunk's distribution is no distribution.
_LEAST_IN_CHUNK = 5
_LEAST_TO_BE_COUNTER = 50
_MANY_CATEGORIES = 500


@dataclass(frozen=True, slots=True)
class Ground:
    """The rows of a reference, apart from its columns.

    Parameters
    ----------
    time, series, occasion, chunk : ndarray of int64, shape (n,)
        ``chunk`` is -1 in chunks that are not whole.
    chunks : int
    step : int
    cycle : str
    probability : float
        With which a feature may cross its threshold in a window.
    instants : ndarray of int64, shape (n,), optional
        See ``Table``.
    """

    time: Places
    series: Places
    occasion: Places
    chunk: Places
    chunks: int
    step: int
    cycle: str
    probability: float
    instants: Places | None = None

    def by_series(self, x: Array) -> list[Array]:
        """Return the column of each series, in the order of time."""
        order = np.argsort(self.series, kind="stable")
        cuts = np.flatnonzero(np.diff(self.series[order])) + 1
        return np.split(x[order], cuts)

    def by_chunk(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the column's known values in each whole chunk."""
        known = self.chunk >= 0
        known &= np.isfinite(x) if x.dtype != object else x != None  # noqa: E711
        order = np.flatnonzero(known)
        order = order[np.argsort(self.chunk[order], kind="stable")]
        cuts = np.searchsorted(self.chunk[order], np.arange(1, self.chunks))
        return np.split(x[order], cuts)

    def tau(self, x: Array) -> float:
        """Return the autocorrelation time in the unit of ``time``."""
        if self.instants is None:
            return self.step * autocorrelation_time(self.by_series(x))
        known = np.isfinite(x)
        rows = np.maximum(1, np.bincount(self.instants, known))
        mean = np.bincount(self.instants, np.where(known, x, 0.0)) / rows
        _, first = np.unique(self.instants, return_index=True)
        series = self.series[first]
        apart = [mean[series == code] for code in np.unique(series)]
        return self.step * autocorrelation_time(apart)

    def effective(self, known: NDArray[np.bool_], tau: float) -> float:
        """Return what the known rows are worth."""
        return effective_rows([moments(known, self.instants)], self.step, tau)


def ground_of(
    table: Table,
    series: Places,
    window: int,
    settings: DriftSettings,
) -> tuple[Ground, float]:
    """Return the rows of a reference cut into chunks, and a chunk's usual rows."""
    # By rank, not by number: one stray time must not fill years with empty chunks.
    _, chunk, rows = np.unique(
        table.time // window, return_inverse=True, return_counts=True
    )
    usual = float(np.median(rows))
    whole = rows >= max(1.0, settings.min_window_share * usual)
    number = np.where(whole, np.cumsum(whole) - 1, -1)
    cycle = cycle_of(table.span) if table.clock else "none"
    ground = Ground(
        time=table.time,
        series=series,
        # The hour, as the profile's cells; a chunk where there is no such profile.
        occasion=table.time // HOUR_US if CYCLES[cycle] > 1 else chunk,
        chunk=number[chunk],
        chunks=int(whole.sum()),
        step=table.step,
        cycle=cycle,
        probability=settings.alpha,
        instants=table.instants,
    )
    return ground, usual


def moments(known: NDArray[np.bool_], instants: Places | None) -> int:
    """Return how many instants of a series have a known row."""
    if instants is None:
        return int(known.sum())
    return len(np.unique(instants[known]))


def skip_reason(column: NDArray[Any], ground: Ground) -> str | None:
    """Return why a column cannot drift in any sense, or None."""
    if column.dtype == object:
        known = column[column != None]  # noqa: E711
        if not len(known):
            return "holds no value"
        distinct = len(set(known.tolist()))
        if distinct > min(_MANY_CATEGORIES, max(20, len(known) // 4)):
            return f"{distinct:,} different texts: a name or a number of each row"
        return None
    known = column[np.isfinite(column)]
    if not len(known):
        return "holds no value"
    if len(known) >= _LEAST_TO_BE_COUNTER:
        steps = [
            np.diff(x[np.isfinite(x)]) for x in ground.by_series(column) if len(x) > 1
        ]
        moves = np.concatenate(steps) if steps else np.zeros(1)
        if np.any(moves) and (np.all(moves >= 0) or np.all(moves <= 0)):
            return "only ever counts in one direction"
    return None


def learn_column(
    name: str, column: NDArray[Any], ground: Ground, settings: DriftSettings
) -> FeatureReference:
    """Return what the reference says of a column."""
    if column.dtype == object:
        known = column != None  # noqa: E711
        values = set(column[known].tolist())
        if len(values) == 1:
            return _share(name, column, known, values.pop(), ground, settings)
        return _category(name, column, known, ground, settings)
    known = np.isfinite(column)
    first = float(column[known][0])
    if np.all(column[known] == first):
        return _share(name, column, known, first, ground, settings)
    return _number(name, column, known, ground, settings)


def grid_of(deviations: Array, clip: float) -> tuple[float, ...]:
    """Return the quantile grid of clipped deviations, short enough to be kept."""
    z = np.clip(deviations[np.isfinite(deviations)], -clip, clip)
    return tuple(quantile_grid(z).round(5).tolist())


def _number(
    name: str,
    x: Array,
    known: NDArray[np.bool_],
    ground: Ground,
    settings: DriftSettings,
) -> FeatureReference:
    profile, deviation = Profile.learn(
        ground.time, ground.series, x, ground.cycle, ground.occasion
    )
    z = np.clip(deviation, -settings.clip, settings.clip)
    tau = ground.tau(z)
    quantiles = grid_of(z, settings.clip)
    whole = np.array(quantiles)
    parts = [part for part in ground.by_chunk(z) if len(part) >= _LEAST_IN_CHUNK]
    # A chunk is part of what it is compared with; this takes it out again, exactly.
    effects = [
        quantile_distance(whole, quantile_grid(part)) / (1 - len(part) / known.sum())
        for part in parts
        if len(part) < known.sum()
    ]
    threshold, tail = _threshold(effects, settings.least_effect, ground, settings)
    # The values of an hour, or of one server, never look like those of all.
    plain = ground.cycle == "none" and not ground.series.any()
    shown = x if plain else z
    edges = bin_edges(shown)
    return FeatureReference(
        name=name,
        kind="number",
        unit="sd",
        quantiles=quantiles,
        missing=float(1 - known.mean()),
        tau=tau,
        effective_rows=ground.effective(known, tau),
        chunks=len(effects),
        threshold=threshold,
        missing_threshold=_missing_threshold(known, ground, settings),
        tail=tail,
        mean=float(x[known].mean()),
        deviation=float(x[known].std()),
        edges=edges,
        shares=bin_shares(shown, edges),
        axis="value" if plain else DEVIATION,
        profile=profile,
    )


def _category(
    name: str,
    column: NDArray[Any],
    known: NDArray[np.bool_],
    ground: Ground,
    settings: DriftSettings,
) -> FeatureReference:
    counts = category_counts(column, name)
    total = np.array(list(counts.values()), np.float64)
    place = {category: at for at, category in enumerate(counts)}
    code = np.array([-1 if v is None else place[v] for v in column.tolist()])
    effects = []
    for part in ground.by_chunk(np.where(code >= 0, code, np.nan)):
        if len(part) >= _LEAST_IN_CHUNK and len(part) < known.sum():
            own = np.bincount(part.astype(np.int64), minlength=len(total))
            effects.append(shannon_distance(total - own, own.astype(np.float64)))
    threshold, tail = _threshold(effects, settings.least_distance, ground, settings)
    # The categories that matter are the frequent ones.
    frequent = np.argsort(total)[::-1][:3]
    tau = max(
        ground.tau(np.where(known, code == at, np.nan).astype(np.float64))
        for at in frequent
    )
    return FeatureReference(
        name=name,
        kind="category",
        unit="JS",
        counts=counts,
        missing=float(1 - known.mean()),
        tau=tau,
        effective_rows=ground.effective(known, tau),
        chunks=len(effects),
        threshold=threshold,
        missing_threshold=_missing_threshold(known, ground, settings),
        tail=tail,
    )


def _share(
    name: str,
    column: NDArray[Any],
    known: NDArray[np.bool_],
    constant: float | str,
    ground: Ground,
    settings: DriftSettings,
) -> FeatureReference:
    chunks = sum(len(part) >= _LEAST_IN_CHUNK for part in ground.by_chunk(column))
    threshold, tail = _threshold([0.0] * chunks, settings.least_share, ground, settings)
    return FeatureReference(
        name=name,
        kind="share",
        unit="share",
        constant=constant,
        missing=float(1 - known.mean()),
        tau=float(ground.step),
        effective_rows=float(known.sum()),
        chunks=chunks,
        threshold=threshold,
        missing_threshold=_missing_threshold(known, ground, settings),
        tail=tail,
    )


def as_lively(
    feature: FeatureReference, column: NDArray[Any], tau: float, ground: Ground
) -> FeatureReference:
    """Return a constant whose rows are worth what those of another feature are.

    By itself what never changes says nothing of how often it could have.
    """
    known = column != None if column.dtype == object else np.isfinite(column)  # noqa: E711
    return replace(feature, tau=tau, effective_rows=ground.effective(known, tau))


def learn_unseen(
    name: str, tau: float, ground: Ground, settings: DriftSettings
) -> FeatureReference:
    """Return how many rows of a chunk are usually of series seen nowhere else.

    The rows are worth what those of the liveliest feature are, whose autocorrelation
    time is ``tau``: by itself this says nothing of a stream that stood still.
    """
    whole = ground.chunk >= 0
    pair = _pairs(ground.series[whole], ground.chunk[whole])
    homes = np.bincount(pair[:, 0])
    alone = homes[ground.series[whole]] == 1
    rows = np.bincount(ground.chunk[whole], minlength=ground.chunks)
    shares = np.bincount(ground.chunk[whole], alone, ground.chunks)
    effects = (shares / np.maximum(rows, 1)).tolist()
    threshold, tail = _threshold(effects, settings.least_share, ground, settings)
    return FeatureReference(
        name=name,
        kind="share",
        unit="share",
        tau=tau,
        effective_rows=ground.effective(np.ones(len(ground.time), np.bool_), tau),
        chunks=ground.chunks,
        threshold=threshold,
        missing_threshold=1.0,
        tail=tail,
    )


def _pairs(first: Places, second: Places) -> Places:
    """Return the distinct pairs, a row each."""
    if not len(first):
        return np.zeros((0, 2), np.int64)
    return np.unique(np.stack([first, second], axis=1), axis=0)


def _threshold(
    effects: list[float], least: float, ground: Ground, settings: DriftSettings
) -> tuple[float | None, Tail | None]:
    if len(effects) < settings.min_chunks:
        return None, None
    tail = Tail.of_values(np.array(effects))
    return max(least, tail.level(ground.probability)), tail


def _missing_threshold(
    known: NDArray[np.bool_], ground: Ground, settings: DriftSettings
) -> float | None:
    """Return by how much the share of absent values may differ."""
    whole = ground.chunk >= 0
    rows = np.bincount(ground.chunk[whole], minlength=ground.chunks)
    absent = np.bincount(ground.chunk[whole], ~known[whole], ground.chunks)
    shares = absent / np.maximum(rows, 1)
    usual = float(1 - known.mean())
    level, _ = _threshold(
        np.abs(shares - usual).tolist(), settings.least_share, ground, settings
    )
    return None if level is None or math.isnan(level) else level
