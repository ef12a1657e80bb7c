"""The detector's forest end to end: MLflow, gate, aliases, flags, commands."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtmlops_lib.models.aliases import CHALLENGER, CHAMPION, PREVIOUS
from rtmlops_lib.models.forest_pipeline import (
    ForestOutcome,
    load_forest_version,
    promote_forest,
    train_detector_model,
)
from rtmlops_lib.models.hot_models import HotModels
from rtmlops_lib.models.rows import rows_of_store
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import ColumnBatch, anomaly_spec, builtin_specs
from tests.live.models.conftest import SPEC
from tests.live.models.test_model_commands import SINCE, Shell, filled, shell
from tests.support.power_rows import START, simulated_batch, simulated_frame
from tests.support.witnesses import FOREST

pytestmark = pytest.mark.live
__all__ = ["filled", "shell"]  # fixtures


@pytest.fixture
def train(registry: Any, store: Any, name: str) -> Any:
    def run(*, seed: int = 5, promote: bool = True, **changes: Any) -> ForestOutcome:
        return train_detector_model(
            registry,
            store,
            name,
            SPEC,
            simulated_frame(seed=seed),
            settings=FOREST.model_copy(update=changes),
            promote=promote,
        )

    return run


def test_a_first_forest_is_promoted_and_says_where_it_came_from(
    train: Any, registry: Any, store: Any, name: str
) -> None:
    outcome = train()
    assert outcome.promoted, outcome.gate.summary
    assert registry.aliases(name) == {CHAMPION: 1}
    version = registry.version(name, 1)
    frame = simulated_frame()
    assert version.sha256.keys() == {"model.skops", "model.json"}
    assert version.tags["rows"] == str(len(frame))
    assert version.tags["offsets"] == f"0:0-{len(frame) - 1}"
    assert version.tags["flagged_share"] == "no flags exist"
    assert version.tags["kind"] == "isolation_forest"
    measured = registry.metrics(version.run_id)
    assert measured["ranking_of_moved_rows"] > 0.7
    event = store.model_events(name).iloc[0]
    assert (event["action"], event["detail"]["passed"]) == ("promote", True)


def test_what_is_loaded_says_what_was_trained(
    train: Any, registry: Any, name: str
) -> None:
    outcome = train()
    loaded = load_forest_version(registry, registry.version(name, 1), SPEC)
    x = outcome.dataset.holdout
    np.testing.assert_array_equal(loaded.score(x), outcome.forest.score(x))


def test_a_newer_forest_as_good_as_the_champion_replaces_it(
    train: Any, registry: Any, name: str
) -> None:
    train()
    assert train(seed=6).promoted
    assert registry.aliases(name) == {CHAMPION: 2, PREVIOUS: 1}
    assert not train(trees=1, max_samples=2).promoted
    assert registry.aliases(name) == {CHAMPION: 2, PREVIOUS: 1, CHALLENGER: 3}


def test_promote_runs_the_gate_on_stored_rows(
    train: Any, registry: Any, store: Any, name: str
) -> None:
    train(promote=False)
    assert registry.aliases(name) == {CHALLENGER: 1}
    store.backfill([simulated_batch()])
    gate, _ = promote_forest(registry, store, name, SPEC, 1, settings=FOREST)
    assert gate.passed, gate.summary
    assert registry.aliases(name) == {CHAMPION: 1}


def test_a_forest_is_served_like_any_model(
    train: Any, registry: Any, name: str, tmp_path: Any
) -> None:
    from rtmlops_lib.models.forest_files import load_forest

    train()
    models = HotModels(
        registry,
        name,
        lambda folder, version: load_forest(folder, version.sha256, SPEC),
        tmp_path,
    )
    models.poll()
    [served] = models.snapshot
    assert (served.role, served.version.version) == (CHAMPION, 1)
    train(seed=6)
    models.poll()
    assert [one.version.version for one in models.snapshot] == [2]


def flags_for(batch: ColumnBatch, flagged: Any) -> ColumnBatch:
    """What a detector would have stored of these events."""
    table = anomaly_spec(batch.spec)
    count = len(batch)
    own = {
        "stream": np.full(count, batch.spec.name, object),
        "detector": np.full(count, "test", object),
        "model_version": np.full(count, None, object),
        "score": np.where(flagged, 0.9, 0.1),
        "severity": np.where(flagged, "critical", "low").astype(object),
        "metric": np.full(count, None, object),
        "flagged": flagged,
        "witnesses": np.full(count, "statistical", object),
    }
    keys = {n: batch.columns[n] for n in batch.spec.identity_fields}
    return replace(batch, spec=table, columns={**keys, **own}, nulls={}, memo={})


@pytest.mark.parametrize("stream", ["datacenter", "services"])
def test_rows_that_a_detector_flagged_are_left_out_of_either_stream(
    shell: Shell, stream: str
) -> None:
    from datetime import timedelta

    spec = builtin_specs()[stream]
    settings = SimulatorSettings(servers=4, interval_seconds=120, seed=5)
    chunk = DatacenterSimulator(settings).span(START, START + timedelta(hours=40))
    batch = chunk.datacenter if stream == "datacenter" else chunk.services
    with closing(open_store(shell.settings)) as store:
        store.migrate([spec, anomaly_spec(spec)])
        store.backfill([batch])
        frame, flags = rows_of_store(
            store, spec, since=START, fields=spec.numeric_fields
        )
        assert flags is None and len(frame) == len(batch)
        struck = batch.columns["server_id"] == "srv-02"
        store.backfill([flags_for(batch, struck)])
        frame, flags = rows_of_store(
            store, spec, since=START, fields=spec.numeric_fields
        )
    assert flags is not None
    np.testing.assert_array_equal(flags, (frame["server_id"] == "srv-02").to_numpy())
    told = shell.json("train", "anomaly", "--stream", stream, *SINCE, code=None)
    assert told["flagged_share"] == pytest.approx(struck.mean())
    assert told["model"].endswith(f"{stream}-detector")
    if spec.target is not None:
        told = shell.json("train", "power", *SINCE, code=None)
        assert told["flagged_share"] == pytest.approx(struck.mean())


def test_the_life_of_a_forest_by_commands(filled: Shell) -> None:
    detector = ("--model", "anomaly")
    first = filled.json("train", "anomaly", *SINCE)
    assert first["promoted"], first["gate"]
    assert first["flagged_share"] is None
    second = filled.json("train", "anomaly", *SINCE)
    assert second["promoted"], "one as good, of the same rows, may replace it"
    listed = filled.json("models", "list", *detector)
    assert [(v["version"], v["aliases"]) for v in listed] == [
        (2, "champion"),
        (1, "previous"),
    ]
    undone = ("--reason", "a demonstration")
    assert "champion was v2, is v1" in filled("models", "rollback", *detector, *undone)
    assert filled.json("models", "list") == []
    assert "knows no" in filled("models", "list", "--model", "other", code=2)


def test_a_file_will_do_as_well(filled: Shell, tmp_path: Any) -> None:
    out = tmp_path / "rows.parquet"
    filled("export", "--stream", "datacenter", *SINCE, "--out", str(out))
    file = filled.json("train", "anomaly", "--from-file", str(out), "--challenger")
    store = filled.json("train", "anomaly", *SINCE, "--challenger")
    measured = "ranking_of_moved_rows"
    assert file["metrics"][measured] == store["metrics"][measured]
