"""Windows, one after the other: when a judge speaks, and when it is silent."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring import Calibration, DriftJudge, DriftSettings, Memory

WINDOW = 200


def frame(n, seed, level=0.0):
    return pd.DataFrame({"x": np.random.default_rng(seed).normal(level, 1, n)})


def judge_of(**settings):
    given = DriftSettings(**{"min_effective_rows": 0, **settings})
    return DriftJudge(
        Calibration.of_frame(frame(12_000, 1), window=WINDOW, settings=given)
    )


def course(judge, levels):
    """Judge windows without chance in them: the reference's law, moved."""
    law = stats.norm.ppf((np.arange(WINDOW) + 0.5) / WINDOW)
    return [judge.judge(pd.DataFrame({"x": law + level})) for level in levels]


def test_one_odd_window_is_a_warning_three_of_five_are_drift():
    judge = judge_of()
    found = [v.state for v in course(judge, [0, 2, 0, 0, 0, 0, 0, 2, 0, 2, 2])]
    assert found[:2] == ["stable", "warning"]
    assert found[6] == "stable"
    assert found[7:] == ["warning", "stable", "warning", "drift"]


def test_drift_ends_only_when_windows_are_well_below_the_threshold():
    judge = judge_of()
    threshold = judge.calibration.features[0].threshold
    near = 0.9 * threshold
    found = course(judge, [2, 2, 2] + [near] * 4)
    # Close to it is not back to normal...
    assert found[-1].state == "drift"
    # ... though by itself it would have been no drift at all.
    assert all(v.state != "drift" for v in course(judge_of(), [near] * 7))
    assert [v.state for v in course(judge, [0] * 5)][-1] == "stable"


def test_an_episode_is_told_once_and_the_next_after_the_cooldown():
    judge = judge_of(cooldown=12)
    found = course(judge, [2] * 5 + [0] * 5 + [2] * 10)
    alerts = [at for at, verdict in enumerate(found) if verdict.alert]
    assert alerts[0] == 2
    assert len(alerts) == 2
    assert alerts[1] - alerts[0] == 13
    # Drift came back within the cooldown and was held, not forgotten.
    assert found[alerts[1] - 1].state == "drift"


def test_a_judge_goes_on_where_another_stopped():
    one, other = judge_of(), judge_of()
    levels = [0, 2, 2, 0, 2, 0, 0]
    whole = course(one, levels)
    for at, level in enumerate(levels):
        memory = Memory.from_dict(json.loads(json.dumps(other.memory.to_dict())))
        plain = json.loads(json.dumps(other.calibration.to_dict()))
        other = DriftJudge(Calibration.from_dict(plain), memory)
        verdict = course(other, [level])[0]
        assert verdict.state == whole[at].state
        assert verdict.after == whole[at].after


def test_windows_are_judged_once_they_hold_enough_effective_rows():
    judge = judge_of(min_effective_rows=500)
    found = course(judge, [2, 2, 2])
    assert [v.state for v in found] == ["unknown", "unknown", "drift"]
    assert "2 windows are worth 400 independent rows, 500 are needed" in found[1].reason
    assert found[2].effective_rows == pytest.approx(600, rel=0.15)


def test_too_few_reference_chunks_give_no_verdict():
    calibration = Calibration.of_frame(frame(12_000, 1), window=1_000)
    verdict = DriftJudge(calibration).judge(frame(1_000, 2, 5.0))
    assert verdict.state == "unknown"
    assert "12 whole chunks of a window's length, 20 are needed" in verdict.reason


def test_a_window_with_most_rows_missing_is_not_judged_and_not_remembered():
    judge = judge_of()
    before = judge.memory
    for rows in (0, 50):
        verdict = judge.judge(frame(rows, 3, 9.0))
        assert verdict.state == "unknown"
        assert verdict.replay() == verdict
    assert "50 rows, about 200 are usual" in verdict.reason
    assert judge.memory == before


def test_a_window_read_more_seldom_than_the_reference_says_so():
    times = pd.date_range("2026-01-05", periods=12_000, freq="1min", tz="UTC")
    timed = frame(12_000, 1).assign(time=times)
    calibration = Calibration.of_frame(timed, window=timedelta(hours=3))
    verdict = DriftJudge(calibration).judge(timed[:180:5])
    assert verdict.state == "unknown"
    assert "it has one in 300 s, the reference in 60 s" in verdict.reason
    with pytest.raises(UsageError, match="the window has no clock"):
        DriftJudge(calibration).judge(frame(180, 2))
    seldom = Calibration.of_frame(
        timed, window=timedelta(hours=3), step=timedelta(minutes=5)
    )
    assert len(DriftJudge(seldom).judge(timed[:180:5]).features) == 1


def test_series_may_be_told_apart_by_several_columns():
    times = pd.date_range("2026-01-05", periods=3_000, freq="5min", tz="UTC")
    parts = [
        frame(3_000, seed, 100.0 * seed).assign(time=times, service=name, server=server)
        for seed, (name, server) in enumerate(
            [("web", "a"), ("web", "b"), ("api", "a"), ("api", "b")]
        )
    ]
    rows = pd.concat(parts)
    calibration = Calibration.of_frame(
        rows, window=timedelta(hours=2), series_column=("service", "server")
    )
    assert calibration.series == ("api/a", "api/b", "web/a", "web/b")
    assert calibration.features[0].profile.scale[:4].max() < 1.1
    assert [f.name for f in calibration.features] == ["x", "service/server (unseen)"]
    copy = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    window = rows[rows["time"] < times[24]]
    one, other = (DriftJudge(c).judge(window) for c in (calibration, copy))
    assert one.feature_states == other.feature_states


def test_an_absent_feature_is_a_feature_with_all_values_missing():
    judge = judge_of()
    states = [judge.judge(pd.DataFrame({"y": np.zeros(WINDOW)})).state for _ in "abc"]
    assert states == ["warning", "warning", "drift"]


def test_one_wild_value_in_fifty_is_an_anomaly_and_not_drift():
    judge = judge_of()
    states = []
    for at in range(5):
        window = frame(WINDOW, 20 + at)
        window.iloc[::50] = 1e6
        states.append(judge.judge(window).state)
    assert states == ["stable"] * 5


def test_holm_adjusts_over_features_and_effects_decide():
    random = np.random.default_rng(1)
    wide = pd.DataFrame(random.normal(size=(12_000, 6)), columns=list("abcdef"))
    settings = DriftSettings(min_effective_rows=0)
    calibration = Calibration.of_frame(wide, window=2_000 // 5, settings=settings)
    window = pd.DataFrame(random.normal(size=(400, 6)), columns=list("abcdef"))
    window["a"] += 1.0
    verdict = DriftJudge(calibration).judge(window)
    by_name = {row.name: row for row in verdict.features}
    assert by_name["a"].adjusted_p < 1e-6
    assert all(row.adjusted_p >= row.p_value for row in verdict.features)
    assert verdict.feature_states["a"] == "warning"
    assert [n for n, s in verdict.feature_states.items() if s != "stable"] == ["a"]


def test_a_rhythm_of_the_week_is_not_drift():
    hours = pd.date_range("2026-01-05", periods=42 * 24 * 4, freq="15min", tz="UTC")
    random = np.random.default_rng(4)
    busy = np.where(hours.day_of_week < 5, 1.0, 0.2)
    x = 50 + 20 * busy * np.sin(2 * np.pi * hours.hour / 24)
    rows = pd.DataFrame({"time": hours, "x": x + random.normal(size=len(hours))})
    reference, later = rows[: 21 * 96], rows[21 * 96 :]
    calibration = Calibration.of_frame(
        reference, window=timedelta(hours=6), settings=DriftSettings(least_effect=0)
    )
    assert calibration.cycle == "hour of week"
    judge = DriftJudge(calibration)
    six_hours = later.groupby(later["time"].dt.floor("6h"))
    states = [judge.judge(window).state for _, window in six_hours]
    assert "drift" not in states
    # Neither effect nor threshold has anything of the 20 that the day moves x by.
    assert calibration.features[0].threshold < 1.5


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"window": timedelta(hours=1)}, "no clock"),
        ({"window": 0}, "is empty"),
        ({"window": 10, "series_column": "s"}, "no column 's'"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        Calibration.of_frame(frame(100, 1), **given)
    with pytest.raises(UsageError, match="no rows"):
        Calibration.of_frame(frame(0, 1), window=10)
    with pytest.raises(UsageError, match="no column to watch; id: only ever counts"):
        Calibration.of_frame(pd.DataFrame({"id": np.arange(99)}), window=10)
    with pytest.raises(UsageError, match="can never be over"):
        DriftSettings(needed=6)


def test_a_feature_that_drifts_does_not_hide_the_next():
    random = np.random.default_rng(1)
    both = pd.DataFrame(random.normal(size=(12_000, 2)), columns=["a", "b"])
    settings = DriftSettings(min_effective_rows=0, cooldown=6)
    judge = DriftJudge(Calibration.of_frame(both, window=WINDOW, settings=settings))
    law = stats.norm.ppf((np.arange(WINDOW) + 0.5) / WINDOW)
    found = [
        judge.judge(pd.DataFrame({"a": law + 2 * (at >= 5), "b": law + 2 * (at >= 30)}))
        for at in range(45)
    ]
    assert [at for at, verdict in enumerate(found) if verdict.alert] == [7, 32]
    assert set(found[32].after.told) == {"a", "b"}
    # Within the cooldown of the first it waits, and is told of then.
    judge = DriftJudge(judge.calibration)
    found = [
        judge.judge(pd.DataFrame({"a": law + 2 * (at >= 5), "b": law + 2 * (at >= 7)}))
        for at in range(30)
    ]
    assert [at for at, verdict in enumerate(found) if verdict.alert] == [7, 14]
