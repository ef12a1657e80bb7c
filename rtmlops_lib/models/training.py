"""Fit the power model and those it is compared with: no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.behaviour import behaviour_checks
from rtmlops_lib.models.dataset import Dataset
from rtmlops_lib.models.gate import GateReport, judge, server_groups
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.scores import regression_scores
from rtmlops_lib.models.settings import PowerSettings

__all__ = ["Trained", "gate_of", "micros_per_row", "train_power"]


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted candidate, its baseline, and what both did on the held-out rows."""

    model: PowerModel
    baseline: PowerModel
    dataset: Dataset
    settings: PowerSettings
    predicted: NDArray[np.float64]
    metrics: dict[str, float]
    fit_seconds: float


def train_power(
    dataset: Dataset,
    settings: PowerSettings,
    *,
    on_step: Callable[[str], None] = lambda text: None,
) -> Trained:
    """Fit on the older rows, score on the newer ones.

    Parameters
    ----------
    dataset : Dataset
    settings : PowerSettings
    on_step : callable
        Told what begins now.

    Notes
    -----
    Taught in chapter 05.
    """
    train, holdout = dataset.train, dataset.holdout
    metrics: dict[str, float] = {}
    models: dict[str, PowerModel] = {}
    seconds = 0.0
    for kind in dict.fromkeys((settings.kind, "linear", "boosting")):
        on_step(f"fitting {kind}")
        begun = time.monotonic()
        chosen = settings.model_copy(update={"kind": kind})
        models[kind] = PowerModel.fit(dataset.features, train.x, train.y, chosen)
        if kind == settings.kind:
            seconds = time.monotonic() - begun
        predicted = models[kind].predict(holdout.x)
        prefix = "" if kind == settings.kind else f"{kind}_"
        for name, value in regression_scores(holdout.y, predicted).items():
            metrics[f"{prefix}{name}"] = value
    on_step("measuring its speed")
    model = models[settings.kind]
    metrics["micros_per_row"] = micros_per_row(
        model, holdout.x, settings.gate.speed_rows
    )
    return Trained(
        model=model,
        baseline=models["linear"],
        dataset=dataset,
        settings=settings,
        predicted=model.predict(holdout.x),
        metrics=metrics,
        fit_seconds=seconds,
    )


def gate_of(
    dataset: Dataset,
    candidate: PowerModel,
    champion: PowerModel | None,
    *,
    baseline: PowerModel,
    against: str,
    settings: PowerSettings,
) -> GateReport:
    """Judge a candidate on the held-out rows.

    Parameters
    ----------
    dataset : Dataset
        Its held-out rows are new to the candidate.
    champion : PowerModel, optional
        What serves now; None where nothing does: then ``baseline`` must be beaten.
    against : str
        How the report names the champion.
    """
    holdout = dataset.holdout
    if champion is None:
        champion, against = baseline, "linear baseline"
    x = _inputs(dataset, candidate)
    report = judge(
        time=holdout.time,
        groups=server_groups(holdout.series, holdout.y, settings.gate.groups),
        y=holdout.y,
        candidate=candidate.predict(x),
        reference=champion.predict(_inputs(dataset, champion)),
        against=against,
        micros_per_row=micros_per_row(candidate, x, settings.gate.speed_rows),
        settings=settings.gate,
        seed=settings.seed,
    )
    return report.with_checks(
        behaviour_checks(candidate, x, holdout.y, settings.gate, seed=settings.seed)
    )


def micros_per_row(model: PowerModel, x: NDArray[np.float32], rows: int) -> float:
    """Return the CPU time of a prediction, the best of several of ``rows`` rows."""
    sample = np.resize(x, (rows, x.shape[1]))
    best = np.inf
    for _ in range(7):
        begun = time.thread_time()
        model.predict(sample)
        best = min(best, time.thread_time() - begun)
    return float(best / rows * 1e6)


def _inputs(dataset: Dataset, model: PowerModel) -> NDArray[np.float32]:
    # A former model may have read other fields; one that is gone is absent.
    names, x = dataset.features.names, dataset.holdout.x
    if model.features.names == names:
        return x
    result = np.full((len(x), len(model.features.names)), np.nan, np.float32)
    for at, name in enumerate(model.features.names):
        if name in names:
            result[:, at] = x[:, names.index(name)]
    return result
