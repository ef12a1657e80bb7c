"""All witnesses together: who takes part, what they say, what survives a restart."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models import PowerSettings
from rtmlops_lib.models.detect import Detector, WitnessModels, replay
from rtmlops_lib.models.detect.detector import update_together
from rtmlops_lib.models.forest_settings import ForestSettings
from rtmlops_lib.models.trial import train_witnesses
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.streams import ColumnBatch, FieldSpec, FieldType, builtin_specs
from tests.support.power_rows import START, simulated_batch
from tests.support.witnesses import (
    SPEC,
    all_models,
    cut,
    forest_model,
    history,
    power_model,
    served,
)


def altered(batch: ColumnBatch, **columns: Any) -> ColumnBatch:
    return replace(batch, columns={**batch.columns, **columns}, memo={})


def scores_of(detector: Detector, batch: ColumnBatch, models: WitnessModels) -> Any:
    return np.concatenate(
        [detector.update(part, models).scores.score for part in cut(batch)]
    )


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (WitnessModels(), ("statistical",)),
        (WitnessModels(power=served(power_model())), ("statistical", "power_residual")),
        (
            WitnessModels(forest=served(forest_model())),
            ("statistical", "isolation_forest"),
        ),
        (all_models(), ("statistical", "power_residual", "isolation_forest")),
    ],
)
def test_a_score_says_who_took_part(models, names):
    scores = Detector(SPEC).update(history(), models).scores
    assert scores.witnesses == names
    assert set(scores.witness.tolist()) <= set(names)
    assert scores.metrics == SPEC.numeric_fields


def test_a_stream_without_a_target_is_watched_by_two():
    spec = builtin_specs()["services"]
    batch = ColumnBatch.empty(spec)
    scores = Detector(spec).update(batch, WitnessModels(served(power_model()))).scores
    assert scores.witnesses == ("statistical",)


def wild(rows: int = 1_200, at: int = 1_000):
    """A load that may be anything, power that follows it, and one row where not."""
    random = np.random.default_rng(3)
    batch = simulated_batch(hours=rows / 30, servers=1)
    cpu = np.clip(50 + 25 * random.standard_normal(rows), 1, 99)
    columns = {
        n: np.full(rows, np.median(c))
        for n, c in batch.columns.items()
        if n != "server_id"
    }
    columns["cpu_usage"] = cpu
    columns["temperature"] = 40 + 0.2 * cpu
    batch = altered(batch, **columns)
    power = power_model().predict_batch(batch)
    power = power + 0.01 * random.standard_normal(rows)
    power[at] = np.median(power) + 0.3 * np.std(power)
    cpu[at] = 99 if power[at] < np.mean(power) else 1
    return altered(batch, power_kw=power, cpu_usage=cpu)


def test_power_that_the_load_does_not_explain_is_found_and_explained():
    batch, at = wild(), 1_000
    alone = Detector(SPEC).update(batch).scores
    assert not alone.flagged[at]
    models = WitnessModels(power=served(power_model()))
    scores = Detector(SPEC).update(batch, models).scores
    assert scores.flagged[at]
    assert scores.witness[at] == "power_residual"
    assert scores.metric_names[at] == "power_kw"
    assert scores.observed[at] == batch.columns["power_kw"][at]
    assert "what the model expects" in scores.explain(at)
    expected = power_model().predict_batch(batch)[at]
    assert scores.expected[at] == pytest.approx(expected, abs=0.02)


def test_every_word_is_about_a_metric_that_the_stream_has():
    batch = simulated_batch(hours=30, servers=4, seed=9)
    scores = Detector(SPEC).update(batch, all_models()).scores
    assert set(scores.metric_names.tolist()) <= {*SPEC.numeric_fields, None}
    struck = np.flatnonzero(scores.witness == "isolation_forest")
    assert len(struck), "the forest has never the last word"
    for row in struck[:20]:
        name = scores.metric_names[row]
        assert scores.observed[row] == batch.columns[name][row]
        assert scores.explain(row).startswith("the metrics do not go together as usual")


def shifted(by: float) -> Any:
    model = power_model()
    estimator = type(model.estimator)()
    estimator.__dict__.update(model.estimator.__dict__)
    estimator.intercept_ = model.estimator.intercept_ + by
    return replace(model, estimator=estimator)


@pytest.mark.parametrize(("version", "alarms"), [(1, True), (2, False)])
def test_a_new_version_of_a_model_is_no_anomaly(version, alarms):
    batch = wild(at=0)
    half = len(batch) // 2
    detector = Detector(SPEC)
    detector.update(batch.take(np.arange(half)), WitnessModels(served(power_model())))
    # The same rows, another model: its residual stands elsewhere.
    after = WitnessModels(served(shifted(3.0), version))
    scores = detector.update(batch.take(np.arange(half, 2 * half)), after).scores
    assert scores.flagged[:50].any() == alarms


def test_what_was_learned_of_a_model_outlasts_its_absence():
    batch = wild(at=0)
    models = WitnessModels(served(power_model()))
    detector = Detector(SPEC)
    detector.update(batch.take(np.arange(600)), models)
    detector.update(batch.take(np.arange(600, 700)))
    jump = altered(batch, power_kw=batch.columns["power_kw"] + 0.5)
    scores = detector.update(jump.take(np.arange(700, 710)), models).scores
    assert (scores.witness[:3] == "power_residual").all()
    assert scores.flagged[0]


@given(st.lists(st.integers(1, 2_900), max_size=6), st.booleans())
@settings(max_examples=10, deadline=None)
def test_cuts_and_restarts_change_no_score(edges, restart):
    batch = history().take(np.arange(2_900))
    whole = Detector(SPEC).update(batch, all_models("forest")).scores.score
    detector, parts = Detector(SPEC), []
    bounds = [0, *sorted({e for e in edges if e < len(batch)}), len(batch)]
    for start, stop in zip(bounds, bounds[1:], strict=False):
        rows = batch.take(np.arange(start, stop))
        parts.append(detector.update(rows, all_models("forest")).scores.score)
        if restart:
            detector = Detector.restore(detector.snapshot(), SPEC)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-9, atol=1e-12)


def test_the_version_met_survives_a_restart():
    batch = wild(at=0)
    detector = Detector(SPEC)
    detector.update(batch.take(np.arange(600)), WitnessModels(served(power_model())))
    again = Detector.restore(detector.snapshot(), SPEC)
    models = WitnessModels(served(shifted(3.0), 2))
    scores = again.update(batch.take(np.arange(600, 1_200)), models).scores
    assert not scores.flagged[:50].any()


def test_a_snapshot_of_another_stream_is_refused():
    data = Detector(SPEC).snapshot()
    with pytest.raises(UsageError, match="snapshot"):
        Detector.restore(data, builtin_specs()["services"])


def test_a_metric_in_another_unit_is_scored_the_same():
    batch = history()
    changed = {"temperature": 1.8 * batch.columns["temperature"] + 32}
    changed["network_gbps"] = 1_000 * batch.columns["network_gbps"]
    models = WitnessModels(forest=served(forest_model()))
    plain = scores_of(Detector(SPEC), batch, models)
    converted = scores_of(Detector(SPEC), altered(batch, **changed), models)
    np.testing.assert_allclose(converted, plain, rtol=1e-3, atol=1e-4)


def test_a_server_never_seen_is_scored_as_soon_as_it_has_a_history():
    batch = history()
    detector = Detector(SPEC)
    for part in cut(batch):
        detector.update(part, all_models())
    stranger = altered(batch, server_id=np.full(len(batch), "never-seen", object))
    one = stranger.take(np.flatnonzero(batch.columns["server_id"] == "srv-01"))
    one.columns["cpu_usage"][400] = 100.0
    scores = detector.update(one, all_models()).scores
    assert not scores.score[:60].any()
    assert scores.score[60:].any()
    assert scores.flagged[400] and scores.metric_names[400] == "cpu_usage"


class Guarded(dict[str, Any]):
    """Columns that may be asked for by name only, and remember what was asked."""

    def __init__(self, columns: dict[str, Any]) -> None:
        super().__init__(columns)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def __iter__(self) -> Any:
        raise AssertionError("the detector looks at all columns")

    keys = values = items = __iter__


def test_nothing_but_series_and_numbers_of_the_stream_is_touched():
    batch = history()
    batch = replace(batch, columns=Guarded({**batch.columns, "anomaly_type": None}))
    Detector(SPEC).update(batch, all_models())
    assert batch.columns.asked == {*SPEC.numeric_fields, *SPEC.series_key}


def test_an_absent_integer_is_not_taken_for_a_number():
    fields = {n: f.model_dump() for n, f in SPEC.fields.items()}
    fields["fans"] = FieldSpec(type=FieldType.INTEGER).model_dump()
    spec = SPEC.evolve(fields=fields)
    batch = history()
    count = len(batch)
    fans = np.where(np.arange(count) % 7 == 0, 4_001, 4_000)
    gone = np.zeros(count, np.bool_)
    gone[2_500:2_600] = True
    known = replace(
        altered(batch, fans=np.where(gone, 0, fans)), spec=spec, nulls={"fans": gone}
    )
    scores = Detector(spec).update(known).scores
    assert not (scores.metric_names[gone] == "fans").any()


def test_no_events_change_nothing():
    detector = Detector(SPEC)
    detector.update(history(), all_models())
    before = detector.snapshot()
    detection = detector.update(ColumnBatch.empty(SPEC), all_models())
    assert len(detection.scores) == 0 and not detection.episodes
    assert detector.snapshot() == before


def test_what_a_forest_sees_does_not_depend_on_who_else_is_heard():
    quiet = replay(Detector(SPEC), cut(history()), keep_inputs=True)
    heard = replay(Detector(SPEC), cut(history()), all_models(), keep_inputs=True)
    np.testing.assert_array_equal(quiet.inputs, heard.inputs)


@pytest.mark.parametrize("models", [WitnessModels(), all_models("forest")])
def test_detectors_together_say_what_each_says_alone(models):
    # Partitions that begin at different times, with the same name on two of them.
    server = history().columns["server_id"]
    parts = [
        cut(history().take(np.flatnonzero(np.isin(server, names))), 700)
        for names in (["srv-01"], ["srv-01", "srv-02", "srv-03"], ["srv-04"])
    ]
    alone, together = ([Detector(SPEC) for _ in parts] for _ in range(2))
    for turn in range(4):
        batches = {place: p[turn] for place, p in enumerate(parts) if turn < len(p)}
        if turn == 1:
            del batches[0]
        expected = [alone[at].update(batch, models) for at, batch in batches.items()]
        found = update_together(
            [together[at] for at in batches], list(batches.values()), models
        )
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine.scores.score, theirs.scores.score)
            np.testing.assert_array_equal(mine.scores.metric, theirs.scores.metric)
            np.testing.assert_array_equal(mine.inputs, theirs.inputs)
            assert mine.episodes == theirs.episodes
    for mine, theirs in zip(together, alone, strict=True):
        assert mine.snapshot() == theirs.snapshot()


@pytest.mark.slow
@pytest.mark.alone
def test_all_witnesses_keep_up_with_the_stream():
    settings = SimulatorSettings.of_profile("production", servers=17, seed=2)
    chunk = DatacenterSimulator(settings).span(START, START + timedelta(hours=8))
    models = train_witnesses(
        chunk, power=PowerSettings(min_hours=1), forest=ForestSettings(min_hours=1)
    )["datacenter"]
    # A third of 50 servers, as a partition has them; a third of 5,000 rows.
    parts = cut(chunk.datacenter, 1_667)
    detector, best = Detector(SPEC), np.inf
    for batch in parts:
        began = time.thread_time()
        detector.update(batch, models)
        best = min(best, (time.thread_time() - began) / len(batch))
    assert 1 / best >= 35_000
