"""The forest: what it learns from, what it says, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import poisson

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.detect import AnomalyForest, Detector, batches_of_frame
from rtmlops_lib.models.errors import ModelRefused
from rtmlops_lib.models.forest_dataset import ForestDataset
from rtmlops_lib.models.forest_files import load_forest, save_forest
from rtmlops_lib.models.forest_gate import at_least, judge_forest, ranking
from rtmlops_lib.streams import builtin_specs
from tests.support.power_rows import simulated_frame
from tests.support.witnesses import (
    FOREST,
    SPEC,
    cut,
    forest_model,
    history,
    power_model,
)


@pytest.fixture(scope="module")
def dataset() -> ForestDataset:
    return ForestDataset.of_frame(simulated_frame(), SPEC, FOREST)


@pytest.mark.parametrize("rows", [0, 1, 7, 3_000])
def test_the_fast_way_says_the_same_as_scikit_learn(rows):
    x = 4 * np.random.default_rng(1).standard_normal((rows, 6)).astype(np.float32)
    forest = forest_model()
    found = forest.score(x)
    assert found.shape == (rows,)
    if rows:
        np.testing.assert_allclose(found, -forest.estimator.score_samples(x))


def test_the_farther_off_the_odder():
    x = np.zeros((4, 6), np.float32)
    x[:, 0] = [0, 2, 5, 9]
    scores = forest_model().score(x)
    assert (np.diff(scores) >= 0).all() and scores[-1] > scores[0]


def test_stream_and_training_compute_the_same_deviations():
    frame = simulated_frame()
    dataset = ForestDataset.of_frame(frame, SPEC, FOREST)
    detector, seen = Detector(SPEC), []
    for batch in batches_of_frame(frame, SPEC, rows=137):
        held = batch.time >= dataset.split_us
        seen.append(detector.update(batch).inputs[held])
    served = np.concatenate(seen)
    np.testing.assert_array_equal(served[served.any(axis=1)], dataset.holdout)


def test_flagged_rows_teach_nothing_and_their_share_is_known():
    frame = simulated_frame()
    flagged = (frame["server_id"] == "srv-02").to_numpy()
    all_rows = ForestDataset.of_frame(frame, SPEC, FOREST)
    dataset = ForestDataset.of_frame(frame, SPEC, FOREST, flagged=flagged)
    assert all_rows.flagged_share is None
    assert dataset.flagged_share == pytest.approx(1 / 6)
    assert len(dataset.train) == pytest.approx(5 / 6 * len(all_rows.train), abs=2)
    assert len(dataset.holdout) == pytest.approx(5 / 6 * len(all_rows.holdout), abs=2)
    # They are part of the past all the same.
    kept = {row.tobytes() for row in dataset.train}
    assert kept <= {row.tobytes() for row in all_rows.train}


def test_the_order_of_rows_in_the_frame_does_not_matter(dataset):
    mixed = simulated_frame().sample(frac=1, random_state=1)
    again = ForestDataset.of_frame(mixed, SPEC, FOREST)
    assert sorted(map(bytes, again.train)) == sorted(map(bytes, dataset.train))


@pytest.mark.parametrize(
    ("rows", "hours", "message"),
    [
        (0, 1, "0 rows"),
        (100, 1, "100 rows"),
        (None, 100, r"span 47\.9\d* h|span 48\.0 h"),
    ],
)
def test_too_little_is_refused_with_what_to_do(rows, hours, message):
    frame = simulated_frame().head(len(simulated_frame()) if rows is None else rows)
    settings = FOREST.model_copy(update={"min_hours": hours})
    with pytest.raises(UsageError, match=message) as refused:
        ForestDataset.of_frame(frame, SPEC, settings)
    assert "--since" in str(refused.value.remedy)


def test_no_forest_reads_the_labels():
    labels = set(builtin_specs()["labels"].fields) - {"server_id", "service"}
    for name in ("datacenter", "services"):
        assert not labels & set(builtin_specs()[name].numeric_fields)


def test_training_again_gives_the_same_forest(dataset):
    once, again = (
        AnomalyForest.fit(SPEC.numeric_fields, dataset.train, FOREST) for _ in range(2)
    )
    np.testing.assert_array_equal(
        once.score(dataset.holdout), again.score(dataset.holdout)
    )


# -- gate ---------------------------------------------------------------------------


def verdict(dataset, forest, champion=None):
    report, _ = judge_forest(
        dataset, forest, champion, against="someone", settings=FOREST
    )
    return report, {check.name: check.passed for check in report.checks}


def test_an_honest_forest_passes(dataset):
    forest = AnomalyForest.fit(SPEC.numeric_fields, dataset.train, FOREST)
    report, _ = verdict(dataset, forest, champion=forest)
    assert report.passed, report.summary


class Blind(AnomalyForest):
    """Says the same of every row."""

    def score(self, x):
        return np.full(len(x), 0.5)


class Nervous(AnomalyForest):
    """Cries wolf now and then, whatever it sees."""

    def score(self, x):
        odd = np.abs(x).sum(axis=1) * 1e4 % 1 < 0.002
        return super().score(x) + odd


def test_a_blind_forest_is_refused(dataset):
    report, passed = verdict(dataset, Blind(forest_model().estimator, ()))
    assert not passed["sees what was moved"]
    assert passed["no alarm fatigue"]


def test_a_nervous_forest_is_refused(dataset):
    report, passed = verdict(dataset, Nervous(forest_model().estimator, ()))
    assert not passed["no alarm fatigue"], report.checks


@pytest.mark.parametrize(
    ("count", "mean"), [(0, 0.0), (1, 0.0), (3, 2.5), (40, 12.0), (900, 1_000.0)]
)
def test_the_chance_of_so_many_alarms_is_that_of_poisson(count, mean):
    expected = poisson.sf(count - 1, mean)
    assert at_least(count, mean) == pytest.approx(expected, abs=1e-9)


def test_a_forest_blinder_than_the_champion_is_refused(dataset):
    good = AnomalyForest.fit(SPEC.numeric_fields, dataset.train, FOREST)
    _, passed = verdict(dataset, Blind(good.estimator, ()), champion=good)
    assert not passed["no worse than the champion"]


def test_what_cannot_be_told_apart_ranks_by_chance(dataset):
    assert ranking(forest_model(), dataset.holdout, 0.0, 0) == pytest.approx(0.5)


# -- files --------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path, dataset):
    return tmp_path, save_forest(
        tmp_path, forest_model(), dataset.holdout, SPEC, FOREST
    )


def test_what_is_loaded_says_what_was_trained(saved, dataset):
    folder, hashes = saved
    loaded = load_forest(folder, hashes, SPEC)
    np.testing.assert_array_equal(
        loaded.score(dataset.holdout), forest_model().score(dataset.holdout)
    )


@pytest.mark.parametrize("file", ["model.skops", "model.json"])
def test_a_changed_file_is_refused(saved, file):
    folder, hashes = saved
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data)
    with pytest.raises(ModelRefused, match="sha256"):
        load_forest(folder, hashes, SPEC)


def rewritten(folder, hashes, **changes):
    from rtmlops_lib.models.bundle import sha256

    path = folder / "model.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, **changes}))
    return {**hashes, "model.json": sha256(path)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stream": "services"}, "schema"),
        ({"metrics": ["cpu_usage"]}, "schema"),
        ({"format": 99}, "manifest"),
        ({"probe": {}}, "manifest"),
        ({"probe": {"x": [[0.0] * 6], "score": [0.123]}}, "probe"),
        ({"probe": {"x": [[0.0] * 5], "score": [0.123]}}, "probe"),
    ],
)
def test_files_of_something_else_are_refused(saved, changes, words):
    folder, hashes = saved
    with pytest.raises(ModelRefused, match=words):
        load_forest(folder, rewritten(folder, hashes, **changes), SPEC)


def test_another_kind_of_model_is_refused(saved):
    from rtmlops_lib.models.bundle import write_bundle

    folder, _ = saved
    hashes = write_bundle(folder, power_model().estimator, {"format": 1})
    with pytest.raises(ModelRefused, match="trusted types"):
        load_forest(folder, hashes, SPEC)


def test_a_model_for_an_earlier_spec_is_refused(saved):
    folder, hashes = saved
    fields = {n: f.model_dump() for n, f in SPEC.fields.items()}
    fields["fan_rpm"] = {"type": "number"}
    with pytest.raises(ModelRefused, match="schema"):
        load_forest(folder, hashes, SPEC.evolve(fields=fields))


def test_events_come_back_from_a_frame_as_they_were():
    batch = history()
    [again] = batches_of_frame(batch.to_frame(), SPEC, rows=len(batch))
    np.testing.assert_array_equal(again.time, batch.time)
    for name in SPEC.numeric_fields:
        np.testing.assert_array_equal(again.columns[name], batch.columns[name])
    assert len(cut(replace(batch, memo={}), 500)) == -(-len(batch) // 500)
