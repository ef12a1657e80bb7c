"""The figure that tells lost from doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtmlops_lib.teaching.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["missing_runs", "plot_delivery"]

_COLOR_OF = {
    "row": COLORS["blue"],
    "row again": COLORS["orange"],
    "lost": COLORS["orange"],
}


def missing_runs(offsets: ArrayLike, n_events: int) -> list[tuple[int, int]]:
    """Return the half-open stretches of ``0 … n_events`` that no row came from.

    Examples
    --------
    >>> missing_runs([0, 1, 4, 5], n_events=8)
    [(2, 4), (6, 8)]
    """
    absent = np.setdiff1d(np.arange(n_events), np.asarray(offsets, dtype=np.int64))
    if absent.size == 0:
        return []
    parts = np.split(absent, np.flatnonzero(np.diff(absent) > 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def plot_delivery(
    offsets: ArrayLike, n_events: int, ax: Axes | None = None
) -> tuple[int, int]:
    """Draw which event each row holds; mark what is lost and what came again.

    Parameters
    ----------
    offsets : array_like(int, ndim=1)
        Offsets of the stored events, in the order in which they were stored.
    n_events : int
        How many events the log holds, from offset 0.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    lost, again : int
        Events without a row, and rows whose event had one already.

    Notes
    -----
    Taught in chapter 04.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(6.2, 3.2))
    stored = np.asarray(offsets, dtype=np.int64)
    rows = np.arange(1, stored.size + 1)
    first = _first(stored)
    for part in _straight_parts(stored, first):
        kind = "row" if first[part[0]] else "row again"
        ax.plot(rows[part], stored[part], lw=3, color=_COLOR_OF[kind], label=kind)
    runs = missing_runs(stored, n_events)
    for start, end in runs:
        at = int(np.count_nonzero(stored < start)) + 0.5
        ax.plot([at, at], [start, end], lw=3, color=_COLOR_OF["lost"], label="lost")
    ax.set(
        xlabel="rows in the table, in order of arrival",
        ylabel="event (offset)",
        ylim=(-0.03 * n_events, 1.05 * n_events),
    )
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    once = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(once.values(), once, loc="upper left")
    return sum(end - start for start, end in runs), int(np.count_nonzero(~first))


def _first(stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each row whether it is the first of its event."""
    mask = np.zeros(stored.size, dtype=bool)
    mask[np.unique(stored, return_index=True)[1]] = True
    return mask


def _straight_parts(
    stored: NDArray[np.int64], first: NDArray[np.bool_]
) -> list[NDArray[np.intp]]:
    """Return the rows in stretches in which each holds the event after the last."""
    bends = (np.diff(stored) != 1) | (first[1:] != first[:-1])
    parts = np.split(np.arange(stored.size), np.flatnonzero(bends) + 1)
    return [part for part in parts if part.size]
