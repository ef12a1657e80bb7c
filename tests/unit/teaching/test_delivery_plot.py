"""The figure says what was lost and what came again."""

from __future__ import annotations

from collections import Counter

import matplotlib as mpl
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.teaching.delivery_plot import missing_runs, plot_delivery

mpl.use("agg")


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 31))
def test_runs_are_exactly_what_is_missing(stored: list[int], n_events: int) -> None:
    runs = missing_runs(stored, n_events)
    covered = [event for start, end in runs for event in range(start, end)]
    assert covered == sorted(set(range(n_events)) - set(stored))
    # Two neighbouring runs would be one.
    assert all(a[1] < b[0] for a, b in zip(runs, runs[1:], strict=False))


def _drawn(stored: list[int], n_events: int) -> tuple[tuple[int, int], Counter[str]]:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    found = plot_delivery(stored, n_events, ax)
    labels = Counter(str(line.get_label()) for line in ax.get_lines())
    plt.close(figure)
    return found, labels


def test_a_gap_is_drawn_as_lost() -> None:
    found, labels = _drawn([0, 1, 4, 5], 6)
    assert found == (2, 0)
    assert labels == {"row": 2, "lost": 1}


def test_a_fall_back_is_drawn_as_again() -> None:
    found, labels = _drawn([0, 1, 2, 1, 2, 3], 4)
    assert found == (0, 2)
    assert labels == {"row": 2, "row again": 1}


def test_a_whole_log_is_one_line() -> None:
    found, labels = _drawn(list(range(100)), 100)
    assert found == (0, 0)
    assert labels == {"row": 1}


def test_an_empty_table_has_lost_everything() -> None:
    found, labels = _drawn([], 5)
    assert found == (5, 0)
    assert labels == {"lost": 1}


@given(st.lists(st.integers(0, 20), max_size=30))
def test_rows_are_either_first_or_again(stored: list[int]) -> None:
    (lost, again), _ = _drawn(stored, 21)
    assert lost + np.unique(stored).size == 21
    assert again == len(stored) - np.unique(stored).size
