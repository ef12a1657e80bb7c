"""Sixty days of a fleet in which nothing changes, and then something does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
import pytest

from rtmlops_lib.models.dataset import Dataset
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.scores import percentage_errors
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.monitoring import DriftJudge, ErrorReference, ErrorWatch, Memory
from rtmlops_lib.monitoring.defaults import default_alarms
from rtmlops_lib.simulator import Drift
from tests.unit.monitoring.fleet import (
    FEATURES,
    HOUR,
    MONDAY,
    SPEC,
    calibrated,
    hourly,
    rows_of,
    verdicts,
)

pytestmark = pytest.mark.slow

DAYS = 60


@dataclass
class Steady:
    """A fleet, its reference, and the model that was trained on it."""

    profile: str
    seed: int
    start: datetime
    reference: pd.DataFrame
    days: pd.DataFrame
    judge: DriftJudge
    model: PowerModel
    errors: ErrorReference

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=DAYS)

    def errors_of(self, frame: pd.DataFrame):
        actual = frame["power_kw"].to_numpy()
        predicted = self.model.predict(self.model.features.of_frame(frame))
        return percentage_errors(actual, predicted)

    def watch(self, watch: ErrorWatch, frame: pd.DataFrame):
        frame = frame.assign(error=self.errors_of(frame))
        return [
            watch.check(rows["time"], rows["error"], series=rows["server_id"])
            for rows in hourly(frame)
        ]

    def later(self, **changes: object) -> pd.DataFrame:
        """Return the hours after, in which something is different."""
        return rows_of(self.profile, self.seed, self.end, 5 / 24, **changes)


# Training hands over one to two weeks; the second fleet is larger and calmer.
@pytest.fixture(
    scope="module",
    params=[("normal", 1, 14), ("production", 2, 7)],
    ids=["normal", "production"],
)
def steady(request) -> Steady:
    profile, seed, days = request.param
    frame = rows_of(profile, seed, MONDAY, days + DAYS)
    start = MONDAY + timedelta(days=days)
    reference = frame[frame["time"] < start]
    settings = PowerSettings(kind="boosting", max_train_rows=20_000)
    data = Dataset.of_frame(reference, SPEC, settings)
    model = PowerModel.fit(data.features, data.train.x, data.train.y, settings)
    held = data.holdout
    errors = ErrorReference.of_errors(
        held.time,
        percentage_errors(held.y, model.predict(held.x)),
        series=held.series,
        window=HOUR,
    )
    return Steady(
        profile,
        seed,
        start,
        reference,
        frame[frame["time"] >= start],
        DriftJudge(calibrated(reference)),
        model,
        errors,
    )


@pytest.fixture(scope="module")
def memory(steady) -> Memory:
    """Return what a judge remembers after sixty days in which it was silent."""
    found = verdicts(steady.judge, steady.days)
    assert len(found) == DAYS * 24
    assert sum(verdict.alert for verdict in found) <= 1
    judged = [verdict for verdict in found if verdict.state != "unknown"]
    # Silence after the first hours, in which too little is known, is no silence.
    assert len(judged) > 0.98 * len(found)
    assert found.index(judged[0]) < 24
    assert sum(verdict.state == "drift" for verdict in found) <= 5
    return steady.judge.memory


def alarm_after(judge: DriftJudge, frame: pd.DataFrame) -> int | None:
    """Return in which window drift is seen, from 1."""
    states = [verdict.state for verdict in verdicts(judge, frame)]
    return states.index("drift") + 1 if "drift" in states else None


@pytest.mark.timeout(300)
def test_sixty_steady_days_raise_no_alarm(memory):
    assert memory.since_alert is None


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_half_a_standard_deviation_is_found_within_five_windows(
    steady, memory, feature, shift
):
    moved = steady.later()
    moved[feature] += shift * steady.reference[feature].std()
    judge = DriftJudge(steady.judge.calibration, memory)
    assert (alarm_after(judge, moved) or 99) <= 5


@pytest.mark.parametrize("how", ["renewed", "added"])
def test_a_new_server_generation_is_found_within_five_windows(steady, memory, how):
    count = steady.reference["server_id"].nunique()
    few = count * 3 // 10
    if how == "renewed":
        rows = steady.later(renewed=slice(0, few))
    else:
        rows = steady.later(servers=count + few, renewed=slice(count, None))
    judge = DriftJudge(steady.judge.calibration, memory)
    assert (alarm_after(judge, rows) or 99) <= 5


def test_a_concept_change_is_found_in_the_live_error_and_dated(steady):
    watch = ErrorWatch(steady.errors)
    calm = steady.watch(watch, steady.days)
    assert sum(verdict.alert for verdict in calm) <= 1
    assert sum(verdict.state == "unknown" for verdict in calm) < 24
    changed = steady.later(drifts=(Drift("power_curve", 1.2, at=steady.end),))
    found = steady.watch(watch, changed)
    assert [verdict.state for verdict in found][4] == "drift"
    assert [verdict.state for verdict in found].index("drift") < 5
    moment = datetime.fromisoformat(found[-1].change_point)
    assert abs(moment - steady.end) <= timedelta(minutes=10)


def test_library_defaults_cry_wolf_on_the_same_days(steady):
    found = default_alarms(
        steady.reference,
        steady.days[: len(steady.days) // 10],
        window=HOUR,
        features=FEATURES,
    )
    # Of 144 hours in which nothing had changed.
    assert found["psi"].mean() > 0.6
    assert found["ks"].mean() > 0.9
