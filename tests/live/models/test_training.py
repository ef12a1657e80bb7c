"""Training end to end: MLflow, gate, aliases, lineage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rtmlops_lib.models.aliases import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Move,
    move_aliases,
)
from rtmlops_lib.models.pipeline import load_version, promote_power
from tests.live.models.conftest import SPEC
from tests.support.power_rows import QUICK, simulated_batch, simulated_frame

pytestmark = pytest.mark.live


def test_a_first_version_beats_the_baseline_and_becomes_champion(
    train: Any, registry: Any, store: Any
) -> None:
    outcome = train()
    assert outcome.promoted, outcome.gate.summary
    assert outcome.gate.against == "linear baseline"
    assert registry.aliases(train.name) == {CHAMPION: 1}
    event = store.model_events(train.name).iloc[0]
    assert event["action"] == "promote"
    assert event["done_at"] is not None
    assert event["detail"]["passed"]


def test_a_linear_model_does_not_beat_itself(
    train: Any, registry: Any, store: Any
) -> None:
    outcome = train(kind="linear")
    assert not outcome.promoted
    assert registry.aliases(train.name) == {CHALLENGER: 1}
    reason = registry.version(train.name, 1).tags["refused"]
    assert reason == outcome.gate.summary
    assert reason.startswith("refused against linear baseline: lower error")
    assert store.model_events(train.name)["action"].tolist() == ["refuse"]


def test_a_version_says_where_it_came_from(train: Any, registry: Any) -> None:
    train()
    version = registry.version(train.name, 1)
    frame = simulated_frame()
    assert version.sha256.keys() == {"model.skops", "model.json", "reference.parquet"}
    assert version.tags["rows"] == str(len(frame))
    assert version.tags["offsets"] == f"0:0-{len(frame) - 1}"
    assert version.tags["window_start"] == "2025-09-01T00:00:00Z"
    assert version.tags["flagged_share"] == "no flags exist"
    assert version.tags["packages"].split()[1].startswith("scikit-learn==")
    assert registry.metrics(version.run_id)["mape"] < 0.2


def test_the_raw_reference_comes_with_the_model(
    train: Any, registry: Any, tmp_path: Any
) -> None:
    train(reference_rows=500)
    registry.download(registry.version(train.name, 1), ["reference.parquet"], tmp_path)
    sample = pd.read_parquet(tmp_path / "reference.parquet")
    assert 250 <= len(sample) <= 500
    assert set(sample["server_id"]) == set(simulated_frame()["server_id"])
    merged = sample.merge(simulated_frame(), on=["time", "server_id", "power_kw"])
    assert len(merged) == len(sample)


def test_what_is_loaded_predicts_what_was_trained(train: Any, registry: Any) -> None:
    outcome = train()
    loaded = load_version(registry, registry.version(train.name, 1), SPEC)
    batch = simulated_batch(hours=1, seed=9)
    np.testing.assert_array_equal(
        loaded.predict_batch(batch), outcome.trained.model.predict_batch(batch)
    )


def test_a_challenger_takes_no_part_in_the_gate(train: Any, registry: Any) -> None:
    train()
    train(promote=False, seed=6)
    assert registry.aliases(train.name) == {CHAMPION: 1, CHALLENGER: 2}


def test_a_worse_version_is_refused_and_a_better_one_replaces(
    train: Any, registry: Any
) -> None:
    assert train(trees=3, max_depth=8).promoted
    assert not train(trees=1, max_depth=1).promoted
    better = train(trees=30, max_depth=12)
    assert better.promoted, better.gate.summary
    assert registry.aliases(train.name) == {CHAMPION: 3, PREVIOUS: 1}


def test_promote_runs_the_gate_on_stored_rows(
    train: Any, registry: Any, store: Any
) -> None:
    train(promote=False, kind="linear")
    train(promote=False)
    store.backfill([simulated_batch()])
    gate, _ = promote_power(registry, store, train.name, SPEC, 1, settings=QUICK)
    assert not gate.passed
    assert CHAMPION not in registry.aliases(train.name)
    gate, _ = promote_power(registry, store, train.name, SPEC, 2, settings=QUICK)
    assert gate.passed, gate.summary
    assert registry.aliases(train.name) == {CHAMPION: 2}


def test_a_champion_that_cannot_be_loaded_stops_promotion_not_training(
    train: Any, registry: Any, store: Any, mlflow: Any
) -> None:
    train()
    source = registry.version(train.name, 1).source
    folder = mlflow.folder / "artifacts" / source.removeprefix("mlflow-artifacts:/")
    (folder / "model.skops").write_bytes(b"")
    outcome = train(seed=6)
    assert not outcome.promoted
    assert "champion can be compared with: sha256" in outcome.gate.summary
    move_aliases(registry, store, train.name, Move.promote(2, forced=True))
    assert registry.aliases(train.name) == {CHAMPION: 2, PREVIOUS: 1}
