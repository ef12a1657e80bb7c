"""The length of a cycle, from the autocorrelation of what is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.frame._quantiles import quantiles

__all__ = ["find_periods"]

Array = NDArray[np.float64]

_LEAST_CORRELATION = 0.25
_NEARLY_BEST = 0.9


def find_periods(x: Array) -> NDArray[np.int64]:
    """Return the dominant period in samples of each column, 0 where there is none.

    The first among the nearly highest peaks of the autocorrelation beyond its first
    zero, for at least three cycles; trend and outliers are taken out before.

    Parameters
    ----------
    x : ndarray of float, shape (m, n)

    Returns
    -------
    ndarray of int64, shape (m,)

    Examples
    --------
    >>> wave = np.sin(2 * np.pi * np.arange(400) / 25)
    >>> find_periods(np.stack([wave, np.random.default_rng(0).standard_normal(400)]))
    array([25,  0])
    """
    columns, n = x.shape
    result = np.zeros(columns, np.int64)
    if n < 24:
        return result
    low, high = quantiles(x, 0.01, 0.99)
    y = np.clip(x, low[:, None], high[:, None])
    y -= y.mean(axis=1, keepdims=True)
    t = np.arange(n) - (n - 1) / 2
    y -= ((y @ t) / (t @ t))[:, None] * t
    longest = n // 3
    # No product of lags below ``longest`` may come round.
    size = 1 << (n + longest - 1).bit_length()
    spectrum = np.fft.rfft(y, size)
    power = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:, :longest]
    lengthened = n / (n - np.arange(longest))
    for number in np.flatnonzero(power[:, 0] > 1e-12):
        correlation = power[number] / power[number, 0] * lengthened
        result[number] = _first_high_peak(correlation)
    return result


def _first_high_peak(correlation: Array) -> int:
    below = int((correlation < 0).argmax())
    if correlation[below] >= 0:
        return 0
    tail = correlation[below:]
    inner = tail[1:-1]
    peaks = np.flatnonzero((inner >= tail[:-2]) & (inner >= tail[2:])) + 1
    if len(peaks) == 0:
        return 0
    heights = tail[peaks]
    highest = heights.max()
    if highest < _LEAST_CORRELATION:
        return 0
    return below + int(peaks[(heights > _NEARLY_BEST * highest).argmax()])
