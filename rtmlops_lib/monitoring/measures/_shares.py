"""Two samples as shares of the same bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError

__all__ = ["category_counts", "cut_points", "shares_of_numbers", "with_unseen"]

Array = NDArray[np.float64]


def cut_points(reference: Array, bins: int) -> Array:
    """Return the reference's inner quantiles, each value once.

    Examples
    --------
    >>> cut_points(np.arange(11.0), 4).tolist()
    [2.5, 5.0, 7.5]
    """
    levels = np.arange(1, bins) / bins
    cuts: Array = np.unique(np.quantile(reference, levels))
    return cuts


def shares_of_numbers(sample: Array, cuts: Array) -> Array:
    """Return which share of the sample lies in each bin, the outer ones open.

    Bins hold their lower edge, so that a column of few values has each in one bin.
    """
    place = np.searchsorted(cuts, sample, side="right")
    counts = np.bincount(place, minlength=len(cuts) + 1)
    result: Array = counts / max(1, len(sample))
    return result


def category_counts(sample: Any, which: str) -> dict[str, int]:
    """Return how often each category occurs, absent values left out."""
    values = np.asarray(sample, object).ravel()
    found: dict[str, int] = {}
    for value in values.tolist():
        # Only NaN and NaT differ from themselves.
        if value is None or value != value:
            continue
        key = _label(value)
        found[key] = found.get(key, 0) + 1
    if not found:
        raise UsageError(
            f"the {which} sample holds no category", remedy="leave this column out"
        )
    return found


def _label(value: Any) -> str:
    """Return a category's name; a number has the same however it is written.

    A file with a single "B7" has texts 12 and 13, one without has 12.0 and 13.0.
    """
    text = str(value)
    try:
        number = float(text)
    except ValueError:
        return text
    if not np.isfinite(number):
        return text
    whole = str(int(number))
    # Not so 007, or a number longer than a float holds.
    if text in (whole, repr(number)):
        return whole if number == int(number) else repr(number)
    return text


def with_unseen(
    reference: dict[str, int], current: dict[str, int]
) -> tuple[list[str], Array, Array]:
    """Return all categories in order, and the counts of both samples."""
    names = sorted({*reference, *current})
    return (
        names,
        np.array([reference.get(name, 0) for name in names], np.float64),
        np.array([current.get(name, 0) for name in names], np.float64),
    )
