"""From a witness's channel back to a metric that the stream has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.deviations import Deviations
from rtmlops_lib.models.detect.scores import (
    ISOLATION_FOREST,
    POWER_RESIDUAL,
    STATISTICAL,
    Scores,
)
from rtmlops_lib.streams import StreamSpec

__all__ = ["CHANNELS", "told"]

# What a witness's own series is called: no field can have such a name.
CHANNELS = {
    POWER_RESIDUAL: "witness:power_residual",
    ISOLATION_FOREST: "witness:isolation_forest",
}


def told(
    scores: Scores,
    found: Deviations,
    values: Mapping[str, NDArray[np.float64]],
    spec: StreamSpec,
) -> Scores:
    """Return the scores with real metrics in place of channels.

    Where the residual is the rarest, that is the target: what was measured, and what
    the model expected of the row (plus what it usually misses by on this series).
    Where the forest is, it is the metric that deviates most.
    """
    fields = len(spec.numeric_fields)
    metric = scores.metric.copy()
    witness = np.full(len(scores), STATISTICAL, object)
    observed, expected, spread = (
        column.copy() for column in (scores.observed, scores.expected, scores.spread)
    )
    for name, channel in CHANNELS.items():
        if channel not in scores.metrics:
            continue
        rows = np.flatnonzero(scores.metric == scores.metrics.index(channel))
        if not len(rows):
            continue
        witness[rows] = name
        if name == POWER_RESIDUAL and spec.target is not None:
            actual = values[spec.target][rows]
            metric[rows] = spec.numeric_fields.index(spec.target)
            expected[rows] += actual - observed[rows]
            observed[rows] = actual
        else:
            at = found.order.argsort()[rows]
            rarity = found.rarity[:, :fields, at].reshape(-1, len(rows))
            widest = rarity.argmax(axis=0)
            horizon, metric[rows] = np.divmod(widest, fields)
            observed[rows] = found.observed[metric[rows], at]
            expected[rows] = found.expected[horizon, metric[rows], at]
            spread[rows] = found.spread[horizon, metric[rows], at]
    return replace(
        scores,
        metric=metric,
        observed=observed,
        expected=expected,
        spread=spread,
        metrics=spec.numeric_fields,
        witness=witness,
    )
