"""All numbers together: whether they still go with each other as they did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring._learn import ground_of
from rtmlops_lib.monitoring.calibration import Calibration
from rtmlops_lib.monitoring.evidence import Evidence
from rtmlops_lib.monitoring.feature_reference import FeatureReference
from rtmlops_lib.monitoring.histogram import bin_shares
from rtmlops_lib.monitoring.measures.domain_classifier import (
    DomainClassifier,
    chance_of,
    separation,
)
from rtmlops_lib.monitoring.profile import Profile
from rtmlops_lib.monitoring.table import Table
from rtmlops_lib.monitoring.tail import Tail

__all__ = ["TOGETHER", "JointReference"]

Array = NDArray[np.float64]

TOGETHER = "all features together"
# A relation cannot be seen in fewer rows of a window.
LEAST_ROWS = 50
# Numbers that are absent more often are left out.
MOST_MISSING = 0.5
# More rows and more chunks would take longer, and hardly tell more: see the tests.
REFERENCE_ROWS, WINDOW_ROWS, CHUNKS = 2_000, 1_000, 40
_EDGES = tuple(np.linspace(0.0, 1.0, 51).round(3).tolist())


@dataclass(frozen=True, slots=True)
class JointReference:
    """How a reference's numbers go together, and how far its own chunks stray.

    A classifier is asked to tell a window's rows from the reference's. It sees each
    number's deviation from its usual course by its rank within its sample: moved or
    widened by itself, a number tells it nothing, and what is left is what no number
    shows alone. The threshold is the tail of what it makes of the reference's own
    chunks, each against the rest.

    Parameters
    ----------
    features : tuple of FeatureReference
        Of the numbers, two or more.
    series : tuple of str
    step : int
        See ``Calibration``.
    ranks : ndarray of float, shape (n, k)
        A sample of the reference.
    seed : int
    threshold : float, optional
        None for too few chunks.
    chunks : int
    """

    features: tuple[FeatureReference, ...]
    series: tuple[str, ...]
    step: int
    ranks: Array
    seed: int
    threshold: float | None
    chunks: int

    @classmethod
    def learn(
        cls, table: Table, calibration: Calibration, *, seed: int = 0
    ) -> JointReference | None:
        """Learn from the rows that a calibration is of; None where nothing can be.

        That is with a single number, or with fewer than fifty whole rows a chunk.
        """
        # Rows in which one is missing say nothing of how all go together.
        features = tuple(
            feature
            for feature in calibration.features
            if feature.kind == "number" and feature.missing <= MOST_MISSING
        )
        if len(features) < 2:
            return None
        settings = calibration.settings
        table = _in_order(table.thinned(calibration.step))
        code = table.codes(calibration.series)
        ground, _ = ground_of(table, code, calibration.window, settings)
        # As of rows not yet seen: see ``Profile.learn``.
        deviations = np.stack(
            [
                Profile.learn(
                    table.time,
                    code,
                    table.columns[feature.name],
                    calibration.cycle,
                    ground.occasion,
                )[1]
                for feature in features
            ],
            axis=1,
        )
        whole = np.isfinite(deviations).all(axis=1)
        deviations, chunk = deviations[whole], ground.chunk[whole]
        rows = np.bincount(chunk[chunk >= 0], minlength=ground.chunks)
        if not len(rows) or np.median(rows) < LEAST_ROWS:
            return None
        kept = _some(len(chunk), REFERENCE_ROWS, seed)
        ranks, home = _ranks(deviations[kept], seed), chunk[kept]
        usable = np.flatnonzero(rows >= LEAST_ROWS)
        effects = []
        for number in usable[_spread(len(usable), CHUNKS)].tolist():
            own = np.flatnonzero(chunk == number)
            own = own[_some(len(own), WINDOW_ROWS, seed)]
            rest = ranks[home != number]
            if len(rest) >= LEAST_ROWS:
                shares = _shares(rest, _ranks(deviations[own], seed + 1))
                effects.append(separation(*shares))
        threshold = None
        if len(effects) >= settings.min_chunks:
            tail = Tail.of_values(np.array(effects))
            level = tail.level(settings.alpha / (len(calibration.features) + 1))
            threshold = max(settings.least_separation, level)
        return cls(
            features,
            calibration.series,
            calibration.step,
            ranks,
            seed,
            threshold,
            len(effects),
        )

    def judge(self, table: Table, rows: tuple[Evidence, ...]) -> Evidence | None:
        """Return what a window says; None where it holds too few rows.

        Parameters
        ----------
        table : Table
        rows : tuple of Evidence
            What it says of each feature by itself.
        """
        ranks = self._ranked(table)
        if ranks is None:
            return None
        reference, current = _shares(self.ranks, ranks)
        names = {feature.name for feature in self.features}
        worth = min(row.effective_rows for row in rows if row.name in names)
        known = min(feature.effective_rows for feature in self.features)
        effect = separation(reference, current)
        return Evidence(
            name=TOGETHER,
            kind="joint",
            unit="D",
            effect=effect,
            threshold=self.threshold,
            p_value=chance_of((1 + effect) / 2, known, max(worth, 1.0)),
            rows=len(table),
            effective_rows=worth,
            reference_effective_rows=known,
            tau=max(feature.tau for feature in self.features),
            chunks=self.chunks,
            edges=_EDGES,
            reference_shares=tuple(reference.tolist()),
            current_shares=tuple(current.tolist()),
            axis="how much a row looks like this window's",
        )

    def pair(self, table: Table) -> tuple[str, str, float, float]:
        """Return the two whose rank correlation changed most, before and now.

        Of a window that was judged.
        """
        ranks = self._ranked(table)
        if ranks is None:
            raise ValueError("the window has too few whole rows")
        # Of ranks, as normal deviates.
        before, now = (
            np.atleast_2d(np.corrcoef(x, rowvar=False)) for x in (self.ranks, ranks)
        )
        change = np.triu(np.abs(now - before), 1)
        i, j = (int(k) for k in np.unravel_index(np.argmax(change), change.shape))
        one, other = self.features[i].name, self.features[j].name
        return one, other, float(before[i, j]), float(now[i, j])

    def _ranked(self, table: Table) -> Array | None:
        table = _in_order(table.thinned(self.step))
        code = table.codes(self.series)
        columns: list[Array] = []
        for feature in self.features:
            column = table.columns[feature.name]
            if column.dtype == object or feature.profile is None:
                return None  # texts where numbers were
            columns.append(feature.profile.deviations(table.time, code, column))
        deviations = np.stack(columns, axis=1)
        whole = np.flatnonzero(np.isfinite(deviations).all(axis=1))
        if len(whole) < LEAST_ROWS:
            return None
        kept = whole[_some(len(whole), WINDOW_ROWS, self.seed)]
        return _ranks(deviations[kept], self.seed + 1)


def _in_order(table: Table) -> Table:
    """Return the rows in an order that does not depend on how they came."""
    return table.take(np.lexsort((table.series.astype(str), table.time)))


def _some(count: int, at_most: int, seed: int) -> NDArray[np.int64]:
    """Return places, in order; not every n-th, which may be always the same series."""
    if count <= at_most:
        return np.arange(count, dtype=np.int64)
    chosen = np.random.default_rng(seed).choice(count, at_most, replace=False)
    return np.sort(chosen).astype(np.int64)


def _spread(count: int, at_most: int) -> NDArray[np.int64]:
    places = np.linspace(0, count - 1, min(count, at_most))
    return np.unique(places.round().astype(np.int64))


def _ranks(z: Array, seed: int) -> Array:
    """Return where each value stands in its column, as a normal deviate.

    Equal values are told apart by chance, and no two samples share a lattice: else
    the number of rows would give a sample away.
    """
    from scipy import stats

    random = np.random.default_rng(seed)
    places = np.empty(z.shape)
    for column, values in zip(places.T, z.T, strict=True):
        column[np.lexsort((random.random(len(z)), values))] = np.arange(len(z))
    shares = (places + random.random(z.shape)) / len(z)
    return np.asarray(stats.norm.ppf(shares.clip(1e-9, 1 - 1e-9)))


def _shares(reference: Array, current: Array) -> tuple[Array, Array]:
    """Return the classifier's scores of both samples as shares in bins."""
    rows = max(len(reference), len(current))
    test = DomainClassifier(folds=3, max_rows=rows, learner="products")
    r, c = test.scores(reference, current)
    return np.array(bin_shares(r, _EDGES)), np.array(bin_shares(c, _EDGES))
