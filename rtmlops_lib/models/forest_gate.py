"""Whether a forest may stand by the detector."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.aliases import CHAMPION
from rtmlops_lib.models.detect import (
    AnomalyForest,
    Detector,
    Episode,
    WitnessModels,
    replay,
)
from rtmlops_lib.models.forest_dataset import ForestDataset
from rtmlops_lib.models.forest_settings import ForestSettings
from rtmlops_lib.models.gate import Check, GateReport
from rtmlops_lib.models.hot_models import ServedModel
from rtmlops_lib.models.registry import ModelVersion

__all__ = ["added_alarms", "judge_forest", "ranking"]

_MOVED_ROWS = 20_000


def judge_forest(
    dataset: ForestDataset,
    candidate: AnomalyForest,
    champion: AnomalyForest | None,
    *,
    against: str,
    settings: ForestSettings,
) -> tuple[GateReport, dict[str, float]]:
    """Judge a candidate on held-out rows; return the verdict and what was measured.

    There are no labels in production. So it is asked what can be known: that it adds
    hardly an alarm where nothing was flagged, that it sees what was moved on purpose,
    not much worse than the champion does, and that it is fast.
    """
    gate = settings.gate
    added, days = added_alarms(dataset, candidate), dataset.series_days
    luck = at_least(added, gate.max_added_alarms * days)
    found = ranking(candidate, dataset.holdout, gate.moved_by, settings.seed)
    micros = _micros_per_row(candidate, dataset.holdout, gate.speed_rows)
    checks = [
        Check(
            "no alarm fatigue",
            luck >= 1 - gate.confidence,
            f"{added} alarms are added in {days:.3g} series-days, at most "
            f"{gate.max_added_alarms:g} a series and day may be (probability of so "
            f"many at that rate: {luck:.2g})",
        ),
        Check(
            "sees what was moved",
            found >= gate.min_ranking,
            f"a row with one metric moved by {gate.moved_by:g} deviations is odder "
            f"than a calm one in {found:.1%} of all cases, {gate.min_ranking:.0%} "
            "are needed",
        ),
    ]
    if champion is not None:
        theirs = ranking(champion, dataset.holdout, gate.moved_by, settings.seed)
        checks.append(
            Check(
                "no worse than the champion",
                found >= theirs - gate.margin,
                f"{found:.1%} against {theirs:.1%}, {gate.margin:.0%} less will do",
            )
        )
    checks.append(
        Check(
            "fast enough",
            micros <= gate.max_micros_per_row,
            f"{micros:.1f} µs a row at {gate.speed_rows:,} rows, the ceiling is "
            f"{gate.max_micros_per_row:g}",
        )
    )
    metrics = {
        "added_alarms_per_series_day": added / max(days, 1e-9),
        "ranking_of_moved_rows": found,
        "micros_per_row": micros,
    }
    return GateReport(against, tuple(checks)), metrics


def added_alarms(dataset: ForestDataset, forest: AnomalyForest) -> int:
    """Return the held-out episodes that are told of only because of the forest."""
    served = ServedModel(CHAMPION, ModelVersion("candidate", 0, "", ""), forest)
    detector = Detector.restore(dataset.state, dataset.spec)
    found = replay(detector, dataset.later, WitnessModels(forest=served))
    known: dict[Any, list[Episode]] = defaultdict(list)
    for episode in dataset.alarms:
        known[episode.series].append(episode)
    return sum(not _touches(e, known[e.series]) for e in found.episodes)


def at_least(count: int, mean: float) -> float:
    """Return the probability of so many or more events where so many are expected.

    A handful of held-out days cannot prove a rate; it can only be at odds with one.

    References
    ----------
    S. D. Poisson, "Recherches sur la probabilité des jugements", 1837.

    Examples
    --------
    >>> [round(at_least(count, 0.2), 3) for count in (0, 1, 2)]
    [1.0, 0.181, 0.018]
    """
    mean = max(mean, 1e-12)
    fewer = (
        math.exp(k * math.log(mean) - math.lgamma(k + 1) - mean) for k in range(count)
    )
    return max(0.0, 1.0 - sum(fewer))


def _touches(episode: Episode, others: Sequence[Episode]) -> bool:
    return any(
        episode.started_at <= other.ended_at and episode.ended_at >= other.started_at
        for other in others
    )


def moved(x: NDArray[np.float32], by: float, seed: int) -> NDArray[np.float32]:
    """Return the rows with one metric of each, by chance, moved up or down."""
    random = np.random.default_rng(seed)
    result = x.copy()
    at = (np.arange(len(x)), random.integers(x.shape[1], size=len(x)))
    result[at] += np.float32(by) * random.choice([-1, 1], len(x))
    return result


def ranking(
    forest: AnomalyForest, x: NDArray[np.float32], by: float, seed: int
) -> float:
    """Return how often a moved row is scored higher than one as it was.

    References
    ----------
    H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is
    stochastically larger than the other", 1947.
    """
    if len(x) > _MOVED_ROWS:
        rows = np.random.default_rng(seed).choice(len(x), _MOVED_ROWS, replace=False)
        x = x[rows]
    calm, odd = np.sort(forest.score(x)), forest.score(moved(x, by, seed))
    below = np.searchsorted(calm, odd, "left") + np.searchsorted(calm, odd, "right")
    return float(below.mean() / 2 / len(calm))


def _micros_per_row(forest: AnomalyForest, x: NDArray[np.float32], rows: int) -> float:
    sample = np.resize(x, (rows, x.shape[1]))
    best = np.inf
    for _ in range(7):
        begun = time.thread_time()
        forest.score(sample)
        best = min(best, time.thread_time() - begun)
    return float(best / rows * 1e6)
