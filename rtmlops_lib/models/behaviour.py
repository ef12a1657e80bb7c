"""What any model of the target must do, whatever its error is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.gate import Check
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.settings import GateSettings

__all__ = ["behaviour_checks"]

Array = NDArray[np.float64]
# Enough for an average; each of them is predicted once a step of the sweep.
SWEEP_ROWS = 500
SWEEP_STEPS = 25


def behaviour_checks(
    model: PowerModel,
    x: NDArray[np.float32],
    y: Array,
    settings: GateSettings,
    *,
    seed: int = 0,
) -> tuple[Check, ...]:
    """Ask a candidate what its error on held-out rows cannot show.

    Parameters
    ----------
    model : PowerModel
    x : ndarray of float32, shape (n, features)
        Held-out rows, in the model's own order of features.
    y : ndarray of float, shape (n,)
        Their truth.

    Returns
    -------
    tuple of Check
        Whether predictions are numbers, whether they vary, whether a server that was
        never seen is scored sensibly, and whether more of an increasing input
        predicts less on average.
    """
    random = np.random.default_rng(seed)
    rows = x[random.choice(len(x), min(len(x), SWEEP_ROWS), replace=False)]
    return (
        _finite(model, rows),
        _varies(model.predict(x), y, settings),
        _stranger(model, rows, y, random),
        *(
            _increases(model, rows, y, at, name, settings)
            for at, name in enumerate(model.features.names)
            if name in model.features.increasing
        ),
    )


def _finite(model: PowerModel, rows: NDArray[np.float32]) -> Check:
    absent = np.full((1, rows.shape[1]), np.nan, np.float32)
    known = np.nan_to_num(rows)
    far = np.stack([known.min(axis=0) * 2 - 1, known.max(axis=0) * 2 + 1])
    predicted = model.predict(np.concatenate([rows, absent, far]))
    wrong = int((~np.isfinite(predicted)).sum())
    return Check(
        "finite predictions",
        not wrong,
        f"{wrong} of {len(predicted)} predictions are no number"
        if wrong
        else "also where every field is absent, or far out",
    )


def _varies(predicted: Array, y: Array, settings: GateSettings) -> Check:
    truth = float(y.std())
    share = float(predicted.std()) / truth if truth > 0 else 1.0
    return Check(
        "no constant model",
        share >= settings.min_spread,
        f"predictions spread over {share:.0%} of the target's standard deviation, "
        f"{settings.min_spread:.0%} are needed",
    )


def _stranger(
    model: PowerModel,
    rows: NDArray[np.float32],
    y: Array,
    random: np.random.Generator,
) -> Check:
    # Each value was seen, their combination was not: a server of another kind.
    mixed = np.stack([random.permutation(column) for column in rows.T], axis=1)
    predicted = model.predict(mixed)
    low, high = float(y.min()), float(y.max())
    margin = max(high - low, abs(high) * 0.1)
    outside = int(((predicted < low - margin) | (predicted > high + margin)).sum())
    return Check(
        "unseen servers scored",
        not outside,
        f"{outside} of {len(predicted)} made-up servers are predicted far beyond "
        f"{low:.3g} to {high:.3g}"
        if outside
        else f"{len(predicted)} made-up servers lie where targets may lie",
    )


def _increases(
    model: PowerModel,
    rows: NDArray[np.float32],
    y: Array,
    at: int,
    name: str,
    settings: GateSettings,
) -> Check:
    r"""Check the mean prediction over a sweep of one input, all else as it is.

    .. math:: \bar f(v) = \frac{1}{n} \sum_i f(v, x_{i, \ne j})

    The partial dependence of J. Friedman, "Greedy function approximation", Annals of
    Statistics 29 (2001).
    """
    label = f"more {name} never predicts less"
    known = rows[np.isfinite(rows[:, at]), at]
    if not len(known):
        return Check(label, True, f"no held-out row has {name}")
    steps = np.quantile(known, np.linspace(0.02, 0.98, SWEEP_STEPS))
    swept = np.tile(rows, (len(steps), 1))
    swept[:, at] = np.repeat(steps, len(rows)).astype(np.float32)
    mean = model.predict(swept).reshape(len(steps), len(rows)).mean(axis=1)
    fall = float(np.max(np.maximum.accumulate(mean) - mean))
    spread = float(y.std())
    share = fall / spread if spread > 0 else 0.0
    return Check(
        label,
        share <= settings.max_decrease,
        f"on average it falls by {share:.1%} of the target's standard deviation, "
        f"{settings.max_decrease:.0%} are let pass",
    )
