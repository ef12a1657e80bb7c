"""Episodes: one alarm an anomaly, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.detect import EpisodeTracker, Scores


def scores_of(score) -> Scores:
    score = np.asarray(score, float)
    n = len(score)
    return Scores(
        score, np.zeros(n, int), np.ones(n), np.zeros(n), np.ones(n), ("cpu_usage",)
    )


def told(score, tracker=None, start=0):
    """Every version of every episode that the tracker tells of, last ones last."""
    tracker = tracker or EpisodeTracker(merge=3)
    score = np.asarray(score, float)
    time = np.arange(start, start + len(score))
    return tracker.update(np.full(len(score), "a", object), time, scores_of(score))


def test_a_burst_of_rows_is_one_episode():
    [episode] = told([0, 0.7, 0.8, 0.1, 0.9, 0.4, 0, 0, 0, 0, 0])
    assert (episode.started_at, episode.peak_at, episode.ended_at) == (1, 4, 5)
    assert episode.peak_score == 0.9
    assert episode.severity == "critical"
    assert episode.state == "closed"
    assert episode.rows == 4


def test_a_single_mild_row_is_no_episode():
    assert told([0, 0.55, 0, 0, 0, 0, 0, 0]) == []


def test_a_single_certain_row_is_an_episode():
    [episode] = told([0, 0.7, 0])
    assert episode.confirmed_at == 1


def test_the_second_mild_row_confirms():
    [episode] = told([0.52, 0.1, 0.55])
    assert (episode.started_at, episode.confirmed_at) == (0, 2)


def test_rows_between_the_thresholds_start_nothing():
    assert told([0.45] * 50) == []


def test_two_anomalies_far_apart_are_two_episodes():
    found = told([0.8, 0.8, 0, 0, 0, 0, 0, 0, 0.8, 0.8])
    assert [e.started_at for e in found] == [0, 8]
    assert [e.state for e in found] == ["closed", "open"]


def test_series_do_not_mix():
    names = np.array(["a", "b"] * 4, object)
    tracker = EpisodeTracker()
    found = tracker.update(names, np.arange(8), scores_of([0.9, 0] * 4))
    assert [e.series for e in found] == ["a"]


@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.55, 0.7]), min_size=1, max_size=80),
    st.lists(st.integers(1, 79), max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_batches_and_restarts_change_no_episode(score, cuts):
    whole = {e.started_at: e for e in told(score)}
    tracker = EpisodeTracker(merge=3)
    parts = {}
    edges = [0, *sorted({c for c in cuts if c < len(score)}), len(score)]
    for a, b in zip(edges, edges[1:], strict=False):
        for e in told(score[a:b], tracker, start=a):
            parts[e.started_at] = e
        tracker = EpisodeTracker.restore(tracker.snapshot())
    assert parts == whole


@given(st.lists(st.floats(0, 1), max_size=200))
@settings(max_examples=100, deadline=None)
def test_episodes_of_a_series_never_overlap(score):
    found = sorted(told(score), key=lambda e: e.started_at)
    for before, after in zip(found, found[1:], strict=False):
        assert before.ended_at < after.started_at
    for e in found:
        assert e.started_at <= e.confirmed_at <= e.ended_at
        assert e.started_at <= e.peak_at <= e.ended_at


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(UsageError, match="stay"):
        EpisodeTracker(stay=0.9)
