"""Each drift test against scipy, against hand-computed values, and against its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from scipy.spatial.distance import jensenshannon

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring.measures import (
    Adwin,
    ChiSquared,
    DomainClassifier,
    JensenShannon,
    KolmogorovSmirnov,
    PageHinkley,
    PopulationStability,
    Wasserstein,
)

NUMERIC = (PopulationStability(), JensenShannon(), Wasserstein(), KolmogorovSmirnov())
samples = arrays.arrays(
    np.float64,
    st.integers(2, 60),
    elements=st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 3)),
)
texts = st.lists(st.sampled_from("abcd"), min_size=1, max_size=40)


@pytest.fixture
def pair():
    random = np.random.default_rng(3)
    return random.normal(5, 2, 700), random.normal(5.4, 2.5, 450)


def test_wasserstein_is_scipys_in_standard_deviations(pair):
    expected = stats.wasserstein_distance(*pair) / pair[0].std()
    assert Wasserstein().compare(*pair).effect == pytest.approx(expected)


def test_kolmogorov_smirnov_is_scipys(pair):
    expected = stats.ks_2samp(*pair, method="asymp")
    found = KolmogorovSmirnov().compare(*pair)
    assert found.effect == pytest.approx(expected.statistic)
    # scipy uses the one-sample distribution at n m / (n + m) rows.
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.15)


def test_jensen_shannon_is_scipys_on_the_same_bins(pair):
    reference, current = pair
    cuts = np.quantile(reference, np.arange(1, 10) / 10)
    r, c = (np.bincount(np.searchsorted(cuts, x, "right"), minlength=10) for x in pair)
    expected = jensenshannon(r, c, base=2)
    assert JensenShannon(10).compare(*pair).effect == pytest.approx(expected)


def test_chi_squared_is_scipys():
    reference, current = ["a"] * 40 + ["b"] * 60, ["a"] * 30 + ["b"] * 20 + ["c"] * 5
    table = [[40, 60, 0], [30, 20, 5]]
    expected = stats.chi2_contingency(table, correction=False)
    found = ChiSquared().compare(reference, current)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.effect == pytest.approx(math.sqrt(expected.statistic / 155))


def test_psi_is_what_the_formula_gives_by_hand():
    # Halves become three quarters and a quarter: 0.25 ln 1.5 - 0.25 ln 0.5.
    found = PopulationStability(2).compare([1, 2, 3, 4], [1, 1, 1, 4])
    assert found.effect == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))


def test_fewer_effective_rows_make_a_p_value_larger_and_leave_the_effect(pair):
    plain = KolmogorovSmirnov().compare(*pair)
    honest = KolmogorovSmirnov().compare(*pair, effective=(70, 45))
    assert honest.effect == plain.effect
    assert honest.p_value > 10 * plain.p_value
    categories = ["a"] * 90 + ["b"] * 10, ["a"] * 70 + ["b"] * 30
    plain = ChiSquared().compare(*categories)
    honest = ChiSquared().compare(*categories, effective=(10, 10))
    assert honest.effect == pytest.approx(plain.effect)
    assert honest.p_value > 100 * plain.p_value


@pytest.mark.parametrize("test", NUMERIC, ids=lambda test: test.name)
@given(samples)
def test_a_sample_does_not_differ_from_itself(test, sample):
    assert test.compare(sample, sample[::-1]).effect == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("test", NUMERIC, ids=lambda test: test.name)
@given(samples, samples)
def test_effects_are_finite_and_not_negative(test, reference, current):
    effect = test.compare(reference, current).effect
    assert 0 <= effect < math.inf


@given(samples, st.floats(0.01, 5))
def test_a_shift_counts_in_standard_deviations(sample, shift):
    unit = sample.std()
    if unit < 1e-3:
        return
    found = Wasserstein().compare(sample, sample + shift * unit).effect
    assert found == pytest.approx(shift, rel=1e-6)


@given(samples, samples, st.floats(0.01, 100), st.floats(-100, 100))
def test_the_unit_of_a_column_does_not_matter(reference, current, factor, offset):
    if np.std(reference) < 1:
        return
    for test in (Wasserstein(), KolmogorovSmirnov()):
        plain = test.compare(reference, current).effect
        moved = test.compare(reference * factor + offset, current * factor + offset)
        # Rounding may merge values that were apart by a thousandth.
        assert moved.effect == pytest.approx(plain, abs=0.51, rel=0.01)


@given(texts, texts)
def test_distances_of_categories_are_symmetric_and_at_most_one(one, other):
    test = JensenShannon(categories=True)
    there, back = test.compare(one, other).effect, test.compare(other, one).effect
    assert there == pytest.approx(back)
    assert 0 <= there <= 1 + 1e-12
    assert test.compare(one, one).effect == 0


@pytest.mark.parametrize("test", NUMERIC, ids=lambda test: test.name)
def test_absent_values_are_left_out(test):
    full = np.arange(50.0)
    gappy = np.concatenate([full, np.full(30, np.nan)])
    assert test.compare(full, gappy).effect == 0
    with pytest.raises(UsageError, match="the current sample holds no number"):
        test.compare(full, np.full(3, np.nan))


def test_a_classifier_sees_a_relation_that_no_column_shows():
    random = np.random.default_rng(5)
    x = random.normal(size=(1_500, 2))
    together = random.normal(size=(1_500, 1))
    moved = together + 0.3 * random.normal(size=(1_500, 2))
    moved /= moved.std(axis=0)
    assert all(Wasserstein().compare(x[:, k], moved[:, k]).effect < 0.1 for k in (0, 1))
    found = DomainClassifier().compare(x, moved)
    assert found.effect > 0.3
    assert found.p_value < 1e-6
    same = DomainClassifier().compare(x[:750], x[750:])
    assert same.effect < 0.1
    assert same.p_value > 0.01


def test_a_classifier_of_what_never_changes_tells_nothing_apart():
    same = DomainClassifier().compare(np.ones((200, 2)), np.ones((300, 2)))
    assert same.effect == 0
    assert same.p_value == pytest.approx(0.5)


def test_a_classifier_wants_the_same_columns_and_some_rows():
    rows = np.zeros((30, 2))
    with pytest.raises(UsageError, match="2 and 3 columns"):
        DomainClassifier().compare(rows, np.zeros((30, 3)))
    with pytest.raises(UsageError, match="5 rows"):
        DomainClassifier().compare(rows, rows[:5])


@pytest.mark.parametrize("seed", range(5))
def test_adwin_rests_on_steady_values_and_finds_a_step(seed):
    random = np.random.default_rng(seed)
    test = Adwin()
    steady = random.normal(0.3, 0.1, 5_000)
    assert sum(map(test.update, steady.tolist())) <= 1
    assert test.mean == pytest.approx(0.3, abs=0.02)
    step = random.normal(0.4, 0.1, 500)
    seen = [test.update(x) for x in step.tolist()]
    assert 0 < seen.index(True) < 200
    assert test.mean == pytest.approx(0.4, abs=0.03)
    assert test.width <= 5_500
    assert 400 <= test.change_length <= 700


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300))
def test_adwins_buckets_hold_exactly_what_was_seen(values):
    test = Adwin(delta=1e-12)
    for value in values:
        test.update(value)
    assert test.width <= len(values)
    kept = values[len(values) - test.width :]
    assert test.mean == pytest.approx(sum(kept) / len(kept), abs=1e-9)


def test_page_hinkley_is_the_formula_by_hand():
    test = PageHinkley(delta=0.5, threshold=3.0, minimum=1, mean=1.0)
    # Excess 0.5 a step beyond tolerance: -0.5, then +1.5 each.
    assert [test.update(x) for x in (1.0, 3.0, 3.0, 3.0)] == [False] * 3 + [True]
    assert test.change_length == 3


@pytest.mark.parametrize("detector", [PageHinkley(0.1, 10), Adwin(clock=1)])
def test_stream_tests_answer_as_all_drift_tests_do(detector):
    random = np.random.default_rng(2)
    reference = random.normal(0.5, 0.05, 500)
    calm = detector.compare(reference, random.normal(0.5, 0.05, 300))
    changed = detector.compare(reference, random.normal(0.8, 0.05, 300))
    assert calm.effect == 0
    assert changed.effect == pytest.approx(6, abs=0.7)
    assert changed.p_value is None
