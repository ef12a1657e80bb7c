"""Real models, small ones, to stand by a detector in tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from rtmlops_lib.models import PowerModel, PowerSettings
from rtmlops_lib.models.detect import AnomalyForest, Detector, WitnessModels, replay
from rtmlops_lib.models.features import Features
from rtmlops_lib.models.forest_settings import ForestSettings
from rtmlops_lib.models.hot_models import ServedModel
from rtmlops_lib.models.registry import ModelVersion
from rtmlops_lib.streams import ColumnBatch, builtin_specs
from tests.support.power_rows import simulated_batch

SPEC = builtin_specs()["datacenter"]
FOREST = ForestSettings(trees=20, min_rows=500, min_hours=1)


def served(model: Any, version: int = 1) -> ServedModel[Any]:
    return ServedModel(
        "champion",
        ModelVersion("m", version, "", "", {"sha256.model.skops": "a"}),
        model,
    )


@cache
def history() -> ColumnBatch:
    return simulated_batch(hours=30, servers=4)


def cut(batch: ColumnBatch, rows: int = 1_000) -> list[ColumnBatch]:
    return [
        batch.take(np.arange(start, min(start + rows, len(batch))))
        for start in range(0, len(batch), rows)
    ]


@cache
def power_model(kind: str = "linear") -> PowerModel:
    """A small one; the linear one goes on beyond what it saw."""
    batch = history()
    features = Features.of_spec(SPEC)
    settings = PowerSettings.model_validate({"kind": kind, "trees": 5})
    return PowerModel.fit(
        features, features.of_batch(batch), batch.columns["power_kw"], settings
    )


@cache
def forest_model(seed: int = 0) -> AnomalyForest:
    found = replay(Detector(SPEC), cut(history()), keep_inputs=True)
    x = found.inputs[found.inputs.any(axis=1)]
    return AnomalyForest.fit(
        SPEC.numeric_fields, x, FOREST.model_copy(update={"seed": seed})
    )


def all_models(kind: str = "linear") -> WitnessModels:
    return WitnessModels(power=served(power_model(kind)), forest=served(forest_model()))
