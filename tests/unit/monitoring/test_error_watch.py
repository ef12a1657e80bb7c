"""A model's live error: steady, grown, and since when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring import (
    DriftSettings,
    DriftVerdict,
    ErrorReference,
    ErrorWatch,
)
from rtmlops_lib.monitoring.change_point import change_point, level_shift

START = datetime(2026, 1, 5, tzinfo=UTC)
SERVERS = 10
WINDOW = timedelta(minutes=10)


def errors(begin_minutes, minutes, seed, factor=1.0):
    """Return ten servers' percentage errors, one reading in ten seconds."""
    steps = round(minutes * 6)
    time = START + np.arange(steps) * timedelta(seconds=10)
    time = pd.DatetimeIndex(time) + timedelta(minutes=begin_minutes)
    random = np.random.default_rng(seed)
    error = factor * 0.02 * np.abs(random.normal(size=(steps, SERVERS)))
    return (
        np.repeat(time, SERVERS),
        error.ravel(),
        np.tile([f"s{i}" for i in range(SERVERS)], steps),
    )


@pytest.fixture(scope="module")
def reference():
    time, error, series = errors(0, 600, 1)
    return ErrorReference.of_errors(
        time, error, series=series, window=WINDOW, reference_id="power v3"
    )


def watched(watch, begin, windows, factor=1.0):
    found = []
    for at in range(windows):
        time, error, series = errors(begin + 10 * at, 10, 100 + begin + at, factor)
        found.append(watch.check(time, error, series=series))
    return found


def test_a_steady_error_is_stable(reference):
    found = watched(ErrorWatch(reference), 600, 30)
    assert {v.state for v in found} == {"stable"}
    assert not any(v.alert for v in found)
    assert found[-1].change_point is None
    assert found[-1].kind == "error"
    assert found[-1].details["mean"] == pytest.approx(0.016, rel=0.1)


def test_a_grown_error_is_found_within_three_windows_and_dated(reference):
    watch = ErrorWatch(reference)
    watched(watch, 600, 9)
    time, error, series = errors(690, 10, 7)
    # In the middle of a window.
    late = time >= START + timedelta(minutes=695)
    error[late] *= 3
    found = [watch.check(time, error, series=series), *watched(watch, 700, 3, 3.0)]
    assert [v.state for v in found][2] == "drift"
    assert sum(v.alert for v in found) == 1
    moment = datetime.fromisoformat(found[-1].change_point)
    assert abs(moment - (START + timedelta(minutes=695))) <= timedelta(minutes=1)
    assert set(found[-1].details["change_points"]) == {
        "level_shift",
        "page_hinkley",
        "adwin",
    }


def test_an_error_that_is_back_to_normal_is_drift_no_longer():
    # A limit so close that the usual error, 1, is beyond 0.8 of it.
    time, error, series = errors(0, 600, 1)
    reference = ErrorReference.of_errors(
        time,
        error,
        series=series,
        window=WINDOW,
        settings=DriftSettings(least_growth=1.2),
    )
    assert reference.threshold < 1.25
    watch = ErrorWatch(reference)
    found = watched(watch, 600, 4, 3.0) + watched(watch, 640, 5)
    assert found[3].state == "drift"
    assert found[-1].state == "stable"


def test_one_broken_server_is_an_anomaly_not_a_worse_model(reference):
    watch = ErrorWatch(reference)
    for at in range(5):
        time, error, series = errors(600 + 10 * at, 10, at)
        error[(series == "s3") & (np.arange(len(error)) % 3 == 0)] = 5.0
        verdict = watch.check(time, error, series=series)
        assert verdict.state in ("stable", "warning")
    assert verdict.details["mean"] > 5 * reference.plain_mean


def test_a_watch_goes_on_where_another_stopped(reference):
    one, other = ErrorWatch(reference), ErrorWatch(reference)
    whole = watched(one, 600, 3) + watched(one, 630, 4, 3.0)
    parts = []
    for begin, factor in [(600, 1), (610, 1), (620, 1)] + [
        (630 + 10 * at, 3) for at in range(4)
    ]:
        plain = json.loads(json.dumps([other.reference.to_dict(), other.to_dict()]))
        other = ErrorWatch(ErrorReference.from_dict(plain[0]), plain[1])
        parts += [watched(other, begin, 1, factor)[0].state]
    assert parts[:3] == ["stable"] * 3
    assert parts[-1] == whole[-1].state == "drift"


def test_a_verdict_on_errors_survives_json_and_can_be_judged_again(reference):
    watch = ErrorWatch(reference)
    for verdict in watched(watch, 600, 2) + watched(watch, 620, 4, 3.0):
        copy = DriftVerdict.from_dict(json.loads(json.dumps(verdict.to_dict())))
        assert copy == verdict
        assert copy.replay() == verdict


def test_few_effective_rows_are_not_judged():
    time, error, series = errors(0, 600, 1)
    some = series == "s0"
    reference = ErrorReference.of_errors(time[some], error[some], window=WINDOW)
    watch = ErrorWatch(reference)
    time, error, series = errors(600, 10, 2, 5.0)
    verdict = watch.check(time[series == "s0"], error[series == "s0"])
    assert verdict.state == "unknown"
    assert "1 windows are worth" in verdict.reason


def test_a_short_hold_out_makes_the_watch_slower_not_jumpy():
    time, error, series = errors(0, 60, 1)
    reference = ErrorReference.of_errors(time, error, series=series, window=WINDOW)
    assert reference.chunk < reference.window
    assert "chunks of 30% of a window" in reference.notes[0]
    watch = ErrorWatch(reference)
    assert {v.state for v in watched(watch, 600, 20)} == {"stable"}
    assert watched(watch, 800, 3, 2.0)[-1].state == "drift"
    time, error, series = errors(0, 5, 1)
    reference = ErrorReference.of_errors(time, error, series=series, window=WINDOW)
    verdict = watched(ErrorWatch(reference), 600, 1)[0]
    assert verdict.state == "unknown"
    assert "chunks" in verdict.reason


def test_rows_without_a_prediction_are_left_out_and_nothing_is_no_verdict(reference):
    watch = ErrorWatch(reference)
    time, error, series = errors(600, 10, 2)
    error[::7] = np.nan
    assert watch.check(time, error, series=series).rows == len(error) * 6 // 7
    # A minute of ten: too little to tell a chance from a change.
    some = time < time[0] + timedelta(minutes=1)
    verdict = watch.check(time[some], 9 + error[some], series=series[some])
    assert verdict.state == "unknown"
    assert "are usual" in verdict.reason
    assert len(watch.memory.windows) == 1
    verdict = watch.check(time, np.full(len(time), np.nan), series=series)
    assert (verdict.state, verdict.reason) == ("unknown", "the window has no errors")
    with pytest.raises(UsageError, match="not negative"):
        watch.check(time, error - 1, series=series)
    with pytest.raises(UsageError, match="no error"):
        ErrorReference.of_errors([1], [np.nan], window=WINDOW)


@pytest.mark.parametrize("at", [20, 100, 170])
@pytest.mark.parametrize("rise", [1.0, 3.0])
def test_a_change_is_dated_by_all_three_methods(at, rise):
    random = np.random.default_rng(at)
    x = random.normal(1.0, 0.2, 200)
    x[at:] += rise * 0.2 * 3
    found = change_point(x, np.ones(200), 1.0, 0.2)
    assert abs(found.level_shift - at) <= 2
    assert abs(found.page_hinkley - at) <= 3
    assert found.best == found.level_shift


def test_a_steady_level_has_no_change_point():
    x = np.random.default_rng(3).normal(1.0, 0.2, 500)
    assert change_point(x, np.ones(500), 1.0, 0.2).best is None
    assert level_shift(np.array([3.0, 2.0, 1.0])) == 0


def test_a_reference_that_can_never_judge_says_what_helps(reference):
    assert reference.lacks is None
    few = [x[: len(x) // 100] for x in errors(0, 600, 1)]
    small = ErrorReference.of_errors(*few[:2], series=few[2], window=WINDOW)
    assert small.effective_rows < 500
    assert "500 are needed; train on" in small.lacks
    assert "RTMLOPS_TRAIN_AFTER_CHANGE_HOURS" in small.lacks
    # As many times as it says are enough.
    times = float(small.lacks.split("train on ")[1].split(" times")[0])
    assert times * small.effective_rows >= 499
    short = ErrorReference.of_errors(
        *few[:2],
        series=few[2],
        window=WINDOW,
        settings=DriftSettings(min_effective_rows=small.effective_rows, min_chunks=99),
    )
    assert "chunks of a window, 99 are needed" in short.lacks
    seldom = DriftSettings(memory=1, min_effective_rows=0.9 * reference.effective_rows)
    time, error, series = errors(0, 600, 1)
    lonely = ErrorReference.of_errors(
        time, error, series=series, window=WINDOW, settings=seldom
    )
    assert "1 windows are worth" in lonely.lacks
    assert "RTMLOPS_MONITOR_WINDOW_SECONDS" in lonely.lacks
