"""Evaluation counts events and false alarms, and adjusts nothing."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from rtmlops_lib.models.detect import (
    Episode,
    Label,
    Replay,
    average_precision,
    episodes_of_frame,
    evaluate,
    labels_of,
    labels_of_frame,
    precision_by_type,
    precision_recall,
    row_truth,
)
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings


def episode(series, start, end, told=None):
    return Episode(
        series=series,
        started_at=start,
        ended_at=end,
        peak_at=start,
        confirmed_at=start if told is None else told,
        peak_score=0.8,
        severity="critical",
        metric="cpu_usage",
        explanation="",
        state="closed",
        rows=1,
    )


LABELS = [
    Label("srv-1", "cpu_spike", 100, 200),
    Label("srv-1", "latency_spike", 500, 600, "search"),
]


def judge(*episodes, **kwargs):
    return evaluate(LABELS, episodes, step_us=10, server_days=2.0, **kwargs)


def test_an_event_is_found_with_its_delay():
    result = judge(episode("srv-1", 120, 180, told=130))
    assert result.by_type["cpu_spike"].recall == 1
    assert result.by_type["cpu_spike"].median_delay == 3
    assert result.by_type["latency_spike"].recall == 0
    assert result.precision == 1


def test_an_episode_elsewhere_is_a_false_alarm():
    result = judge(episode("srv-2", 120, 180), episode("srv-1", 300, 310))
    assert result.false_alarms_per_server_day == 1
    assert result.by_type["cpu_spike"].found == 0


def test_an_event_of_a_service_is_found_on_that_service_only():
    other = judge(episode(("orders", "srv-1"), 510, 520))
    assert other.by_type["latency_spike"].found == 0
    assert not other.false_alarms  # it is the same server's trouble
    own = judge(episode(("search", "srv-1"), 510, 520))
    assert own.by_type["latency_spike"].found == 1


def test_what_is_told_after_the_end_is_too_late():
    assert judge(episode("srv-1", 190, 260, told=230)).by_type["cpu_spike"].found == 0


def test_an_alarm_that_never_ends_shows_no_delay():
    result = judge(episode("srv-1", 0, 10_000))
    assert result.by_type["cpu_spike"].found == 1
    assert np.isnan(result.by_type["cpu_spike"].median_delay)


def test_the_time_of_learning_is_left_out():
    result = judge(episode("srv-2", 120, 180), since=300)
    assert not result.false_alarms
    assert "cpu_spike" not in result.by_type


def test_one_flagged_row_does_not_count_as_the_whole_event():
    truth = np.zeros(1_000, bool)
    truth[400:500] = True
    score = np.zeros(1_000)
    score[450] = 1
    # Point adjustment would call this perfect.
    assert average_precision(truth, score) == pytest.approx(
        average_precision_score(truth, score)
    )
    assert average_precision(truth, score) < 0.15


def replayed(names, steps=100, score=0.0):
    """Rows of all series, interleaved, one every 10 µs."""
    count = steps * len(names)
    return Replay(
        time=np.repeat(np.arange(steps) * 10, len(names)),
        series=np.tile(np.arange(len(names), dtype=np.int32), steps),
        names=list(names),
        score=np.full(count, score, np.float32),
        inputs=np.empty((0, 1), np.float32),
        episodes=[],
    )


def test_rows_of_an_anomaly_are_those_of_its_server_and_time():
    rows = replayed(["srv-1", "srv-2"])
    truth = row_truth(LABELS, rows)
    struck = np.flatnonzero(truth["cpu_spike"])
    assert set(rows.series[struck]) == {0}
    assert rows.time[struck].tolist() == list(range(100, 201, 10))


def test_an_anomaly_of_a_service_befalls_its_rows_alone():
    rows = replayed([("search", "srv-1"), ("orders", "srv-1"), ("search", "srv-2")])
    truth = row_truth(LABELS, rows)
    assert set(rows.series[truth["latency_spike"]]) == {0}
    assert set(rows.series[truth["cpu_spike"]]) == {0, 1}


def test_other_types_rows_count_neither_for_nor_against():
    rows = replayed(["srv-1", "srv-2"])
    truth = row_truth([LABELS[0], Label("srv-1", "other", 700, 800)], rows)
    rows.score[truth["cpu_spike"] | truth["other"]] = 0.9
    found = precision_by_type([LABELS[0], Label("srv-1", "other", 700, 800)], rows)
    assert found == {"cpu_spike": 1.0, "other": 1.0}
    assert precision_by_type(LABELS[:1], rows)["cpu_spike"] == pytest.approx(0.5)


def test_a_table_says_all_of_each_type():
    result = judge(episode("srv-1", 120, 180), average_precision={"cpu_spike": 0.7})
    table = result.table()
    assert table.loc["cpu_spike"].tolist() == [1, 1, 1.0, 2.0, 0.7]
    assert table.loc["latency_spike", "found"] == 0


def test_labels_and_episodes_come_back_from_the_store_as_they_were():
    from tests.support.power_rows import START

    settings = SimulatorSettings(servers=3, seed=1, anomaly_prob=0.2)
    chunk = DatacenterSimulator(settings).span(START, START + timedelta(hours=12))
    frame = chunk.labels.to_frame()
    assert labels_of(chunk.labels) == labels_of_frame(frame) != []
    told = [episode("srv-1", 10, 30), episode(("search", "srv-2"), 40, 60)]
    one = {"server_id": "srv-1"}
    moments = partial(pd.to_datetime, unit="us", utc=True)
    stored = pd.DataFrame(
        {
            "series": [one, {"service": "search", "server_id": "srv-2"}],
            **{
                name: moments([getattr(e, name) for e in told])
                for name in ("started_at", "ended_at", "peak_at", "confirmed_at")
            },
            "flagged_rows": [e.rows for e in told],
            **{
                name: [getattr(e, name) for e in told]
                for name in ("peak_score", "severity", "metric", "explanation", "state")
            },
        }
    )
    assert episodes_of_frame(stored) == told


def test_the_curve_falls_from_its_first_threshold_to_full_recall():
    random = np.random.default_rng(0)
    truth = random.random(300) < 0.2
    score = (random.random(300) + 0.5 * truth).round(2)
    precision, recall, threshold = precision_recall(truth, score)
    assert (np.diff(threshold) < 0).all() and (np.diff(recall) >= 0).all()
    assert recall[-1] == 1 and precision[-1] == truth.mean()
    for p, r, t in zip(precision, recall, threshold, strict=True):
        assert p == truth[score >= t].mean()
        assert r == (score[truth] >= t).mean()


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_agrees_with_scikit_learn(seed):
    random = np.random.default_rng(seed)
    truth = random.random(500) < 0.1
    score = (random.random(500) + truth).round(1)
    assert average_precision(truth, score) == pytest.approx(
        average_precision_score(truth, score)
    )
