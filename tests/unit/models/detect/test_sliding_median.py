"""The median of a sliding window, by a network of comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from rtmlops_lib.models.detect.frame._median_network import sliding_median


@pytest.mark.parametrize("k", [1, 3, 5, 7, 9, 25])
@given(seed=st.integers(0, 2**32 - 1), more=st.integers(0, 60), ties=st.booleans())
def test_it_is_the_median_of_each_window(k, seed, more, ties):
    x = np.random.default_rng(seed).standard_normal((3, k + more))
    if ties:
        x = x.round()
    expected = np.median(sliding_window_view(x, k, axis=-1), axis=-1)
    np.testing.assert_array_equal(sliding_median(x, k), expected)


def test_a_window_of_zeros_and_ones_in_any_order_is_understood():
    # By the 0-1 principle a network that sorts these sorts everything.
    orders = (np.arange(2**7)[:, None] >> np.arange(7)) & 1
    found = sliding_median(orders.astype(float), 7)[:, 0]
    np.testing.assert_array_equal(found, orders.sum(axis=1) > 3)
