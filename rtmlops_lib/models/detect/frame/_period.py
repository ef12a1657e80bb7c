"""The length of a cycle, from the autocorrelation of what is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._quantiles import quantiles

__all__ = ["find_period"]

_LEAST_CORRELATION = 0.25
_NEARLY_BEST = 0.9


def find_period(x: NDArray[np.float64]) -> int:
    """Return the dominant period in samples, 0 where there is none.

    The first among the nearly highest peaks of the autocorrelation beyond its first
    zero, for at least three cycles; trend and outliers are taken out before.

    Parameters
    ----------
    x : ndarray of float, shape (n,)

    Examples
    --------
    >>> find_period(np.sin(2 * np.pi * np.arange(400) / 25))
    25
    >>> find_period(np.random.default_rng(0).standard_normal(400))
    0
    """
    n = len(x)
    if n < 24:
        return 0
    low, high = quantiles(x, 0.01, 0.99)
    y = np.clip(x, low, high)
    y = y - y.mean()
    t = np.arange(n) - (n - 1) / 2
    y = y - t * ((t @ y) / (t @ t))
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(y, size)
    longest = n // 3
    power = np.fft.irfft(spectrum * np.conj(spectrum), size)[:longest]
    if power[0] <= 1e-12:
        return 0
    correlation = power / power[0] * (n / (n - np.arange(longest)))
    below = np.flatnonzero(correlation < 0)
    if len(below) == 0:
        return 0
    tail = correlation[below[0] :]
    inner = tail[1:-1]
    peaks = np.flatnonzero((inner >= tail[:-2]) & (inner >= tail[2:])) + 1
    if len(peaks) == 0 or tail[peaks].max() < _LEAST_CORRELATION:
        return 0
    first = peaks[tail[peaks] > _NEARLY_BEST * tail[peaks].max()][0]
    return int(below[0] + first)
