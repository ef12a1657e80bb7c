"""Effective rows, tails and adjusted p-values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import signal, stats

from rtmlops_lib.monitoring.adjust import benjamini_hochberg, holm
from rtmlops_lib.monitoring.effective import autocorrelation_time, effective_rows
from rtmlops_lib.monitoring.tail import Tail

probabilities = arrays.arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1))


def autoregressive(a, n, seed):
    white = np.random.default_rng(seed).normal(size=n + 1_000)
    return signal.lfilter([1], [1, -a], white)[1_000:]


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9, 0.98])
def test_the_time_of_an_autoregression_is_its_known_one(a):
    series = [autoregressive(a, 20_000, seed) for seed in range(8)]
    assert autocorrelation_time(series) == pytest.approx((1 + a) / (1 - a), rel=0.1)


def test_series_that_alternate_are_worth_no_more_than_their_rows():
    assert autocorrelation_time([np.tile([1.0, -1.0], 500)]) == 1
    assert autocorrelation_time([np.ones(100)]) == 1
    assert autocorrelation_time([]) == 1


def test_gaps_and_levels_of_series_do_not_count():
    series = [autoregressive(0.8, 5_000, seed) + 100 * seed for seed in range(4)]
    gappy = [np.insert(x, 100, np.nan) for x in series]
    assert autocorrelation_time(gappy) == pytest.approx(9, rel=0.15)


@given(
    st.lists(st.integers(0, 1_000), min_size=1), st.floats(1, 100), st.floats(1, 1e4)
)
def test_rows_are_worth_at_most_themselves(counts, step, tau):
    assert 0 <= effective_rows(counts, step, tau) <= sum(counts)


@pytest.mark.parametrize(
    "law", [stats.expon(), stats.norm(), stats.gamma(3), stats.halfnorm()]
)
def test_a_tail_of_many_values_reaches_as_far_as_the_law(law):
    tail = Tail.of_values(law.rvs(size=5_000, random_state=1))
    for probability in (1e-2, 1e-3, 1e-4):
        truth = law.isf(probability)
        assert 0.95 * truth < tail.level(probability) < 1.6 * truth


def test_few_values_give_a_higher_threshold_not_a_false_alarm():
    few, many = [], []
    for seed in range(300):
        values = stats.expon().rvs(size=1_000, random_state=seed)
        few.append(Tail.of_values(values[:24]).level(0.002))
        many.append(Tail.of_values(values).level(0.002))
    truth = stats.expon().isf(0.002)
    assert np.median(few) > np.median(many) > truth
    assert np.mean(np.array(few) < truth) < 0.2


def test_values_that_are_all_the_same_have_their_own_level():
    assert Tail.of_values(np.full(30, 0.2)).level(0.001) == 0.2


@given(probabilities)
def test_adjusting_never_makes_significant_and_keeps_the_order(p):
    for adjust in (holm, benjamini_hochberg):
        adjusted = adjust(p)
        assert np.all(adjusted >= p - 1e-12)
        assert np.all(adjusted <= 1)
        assert np.all(np.diff(adjusted[np.argsort(p)]) >= -1e-12)
    assert np.all(benjamini_hochberg(p) <= holm(p) + 1e-12)


def test_benjamini_hochberg_is_scipys():
    p = np.random.default_rng(1).random(30) ** 2
    expected = stats.false_discovery_control(p)
    assert benjamini_hochberg(p) == pytest.approx(expected)
