"""How the power model behaves, whatever its error is."""

from __future__ import annotations

import numpy as np
import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models import PowerModel, PowerSettings
from rtmlops_lib.models.dataset import Dataset
from rtmlops_lib.models.estimators import predict_fast
from rtmlops_lib.models.scores import percentage_errors, regression_scores
from rtmlops_lib.models.training import Trained, gate_of, train_power
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.streams import builtin_specs
from tests.support.power_rows import QUICK, START, simulated_batch, simulated_frame

SPEC = builtin_specs()["datacenter"]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset.of_frame(simulated_frame(), SPEC, QUICK)


@pytest.fixture(scope="module")
def trained(dataset: Dataset) -> Trained:
    return train_power(dataset, QUICK)


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_more_cpu_never_predicts_less_power(dataset: Dataset, kind: str) -> None:
    settings = QUICK.model_copy(update={"kind": kind})
    train = dataset.train
    model = PowerModel.fit(dataset.features, train.x, train.y, settings)
    rows = dataset.holdout.x[:: len(dataset.holdout) // 200].copy()
    before = np.full(len(rows), -np.inf)
    for cpu in np.linspace(0, 100, 41):
        rows[:, dataset.features.names.index("cpu_usage")] = cpu
        after = model.predict(rows)
        assert (after >= before - 1e-12).all()
        before = after
    rows[:, dataset.features.names.index("cpu_usage")] = 0.0
    assert (before > model.predict(rows)).any(), "the load decides nothing"


def test_the_fast_way_predicts_the_same_bits(trained: Trained) -> None:
    x, forest = trained.dataset.holdout.x, trained.model.estimator
    np.testing.assert_array_equal(predict_fast(forest, x), forest.predict(x))
    for rows in (1, 2, 7):
        np.testing.assert_array_equal(
            predict_fast(forest, x[:rows]), forest.predict(x)[:rows]
        )


def test_a_server_never_seen_is_scored_like_any_other(trained: Trained) -> None:
    batch = simulated_batch(hours=3)
    known = trained.model.predict_batch(batch)
    batch.columns["server_id"] = np.full(len(batch), "never-seen", object)
    np.testing.assert_array_equal(trained.model.predict_batch(batch), known)


def test_absent_optional_fields_are_no_obstacle(trained: Trained) -> None:
    batch = simulated_batch(hours=6)
    for name in ("memory_usage", "disk_io_mbps"):
        batch.columns[name] = np.full(len(batch), np.nan)
    predicted = trained.model.predict_batch(batch)
    assert np.isfinite(predicted).all()
    assert regression_scores(batch.columns["power_kw"], predicted)["mape"] < 0.3


def test_a_field_that_was_never_there_is_no_obstacle_to_training() -> None:
    frame = simulated_frame().assign(memory_usage=np.nan)
    trained = train_power(Dataset.of_frame(frame, SPEC, QUICK), QUICK)
    assert np.isfinite(trained.predicted).all()


def test_no_rows_give_no_predictions(trained: Trained) -> None:
    batch = simulated_batch(hours=1)
    assert trained.model.predict_batch(batch.take(np.arange(0))).shape == (0,)


def test_training_again_gives_the_same_model(dataset: Dataset) -> None:
    once, again = (train_power(dataset, QUICK).predicted for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_the_holdout_is_later_than_all_training(dataset: Dataset) -> None:
    assert dataset.train.time.max() < dataset.holdout.time.min()
    whole = simulated_frame()
    full = Dataset.of_frame(whole, SPEC, PowerSettings(min_hours=1))
    assert len(full.train) + len(full.holdout) == len(whole)
    assert len(full.holdout) / len(whole) == pytest.approx(0.2, abs=0.01)


def test_the_order_of_rows_in_the_frame_does_not_matter() -> None:
    frame = simulated_frame()
    shuffled = frame.sample(frac=1, random_state=1)
    settings = PowerSettings(min_hours=1)
    one, other = (Dataset.of_frame(f, SPEC, settings) for f in (frame, shuffled))
    assert sorted(one.train.y) == sorted(other.train.y)
    assert one.holdout_start_us == other.holdout_start_us


def test_flagged_rows_take_no_part_and_their_share_is_known() -> None:
    frame = simulated_frame()
    flagged = np.zeros(len(frame), np.bool_)
    flagged[::10] = True
    frame.loc[flagged, "power_kw"] = 99.0
    dataset = Dataset.of_frame(frame, SPEC, QUICK, flagged=flagged)
    assert dataset.flagged_share == pytest.approx(0.1, abs=0.001)
    assert max(dataset.train.y.max(), dataset.holdout.y.max()) < 10


@pytest.mark.parametrize(
    ("rows", "message"), [(0, "0 usable rows"), (100, "100 usable rows")]
)
def test_too_few_rows_are_refused_with_what_to_do(rows: int, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Dataset.of_frame(simulated_frame().head(rows), SPEC, PowerSettings())
    assert "--since" in str(caught.value.remedy)


def test_too_short_a_time_is_refused() -> None:
    settings = SimulatorSettings(servers=50, interval_seconds=10, seed=1)
    from datetime import timedelta

    chunk = DatacenterSimulator(settings).span(START, START + timedelta(hours=1))
    with pytest.raises(UsageError, match=r"span 1\.0 h"):
        Dataset.of_frame(chunk.datacenter.to_frame(), SPEC, PowerSettings())


def test_a_champion_that_reads_other_fields_can_still_be_compared_with(
    trained: Trained,
) -> None:
    spec = SPEC.evolve(model={"inputs": ["cpu_usage"], "cycles": []})
    small = Dataset.of_frame(simulated_frame(), spec, QUICK)
    champion = train_power(small, QUICK).model
    report = gate_of(
        trained.dataset,
        trained.model,
        champion,
        baseline=trained.baseline,
        against="champion v1",
        settings=QUICK,
    )
    assert report.passed, report.summary


def test_a_reading_near_zero_does_not_outweigh_all_others() -> None:
    y = np.array([2.0] * 99 + [0.0])
    assert percentage_errors(y, y + 0.1).mean() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [707, 808])
def test_the_error_is_below_5_percent_on_fleets_never_tuned_on(seed: int) -> None:
    from datetime import timedelta

    simulator = DatacenterSimulator(
        SimulatorSettings.of_profile("production", seed=seed)
    )
    chunk = simulator.span(START, START + timedelta(days=14))
    dataset = Dataset.of_frame(chunk.datacenter.to_frame(), SPEC, PowerSettings())
    trained = train_power(dataset, PowerSettings())
    assert trained.metrics["mape"] <= 0.05
    assert trained.metrics["mape"] < 0.8 * trained.metrics["linear_mape"]
    assert trained.metrics["micros_per_row"] <= 25
