"""Evaluation counts events and false alarms, and adjusts nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from rtmlops_lib.models.detect import Episode, Label, average_precision, evaluate


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


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_agrees_with_scikit_learn(seed):
    random = np.random.default_rng(seed)
    truth = random.random(500) < 0.1
    score = (random.random(500) + truth).round(1)
    assert average_precision(truth, score) == pytest.approx(
        average_precision_score(truth, score)
    )
