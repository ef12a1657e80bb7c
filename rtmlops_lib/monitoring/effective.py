"""How many rows tell something of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["autocorrelation_time", "effective_rows"]

Array = NDArray[np.float64]

# Sokal: sum up to five times the result; further lags are noise.
_WINDOW = 5.0


def autocorrelation_time(series: Sequence[Array]) -> float:
    r"""Return the integrated autocorrelation time of some series, in samples.

    .. math:: \tau = 1 + 2 \sum_{k=1}^{M} \rho_k

    so that the mean of n samples is as uncertain as that of :math:`n / \tau`
    independent ones. M is the first lag with :math:`M \ge 5 \tau(M)`. The
    autocovariances of all series are added up, each about its own mean.

    Parameters
    ----------
    series : sequence of ndarray of float, each of shape (n,)
        In the order of time; absent values are skipped.

    Returns
    -------
    float
        At least 1: series that alternate are not worth more than their rows.

    References
    ----------
    A. D. Sokal, "Monte Carlo methods in statistical mechanics: foundations and new
    algorithms", in: Functional Integration, NATO ASI B 361 (1997).

    Examples
    --------
    >>> random, x = np.random.default_rng(1), np.zeros(20_000)
    >>> for t in range(1, len(x)):
    ...     x[t] = 0.9 * x[t - 1] + random.normal()
    >>> bool(17 < autocorrelation_time([x]) < 21)  # (1 + 0.9) / (1 - 0.9) = 19
    True
    """
    usable = [x[np.isfinite(x)] for x in series]
    usable = [x - x.mean() for x in usable if len(x) > 1]
    longest = max((len(x) for x in usable), default=0)
    if not longest:
        return 1.0
    covariance = np.zeros(longest)
    for x in usable:
        size = 1 << (2 * len(x) - 1).bit_length()
        spectrum = np.fft.rfft(x, size)
        power = np.fft.irfft(spectrum * np.conj(spectrum), size)[: len(x)]
        covariance[: len(x)] += power
    if covariance[0] <= 0:
        return 1.0
    times = 2 * np.cumsum(covariance / covariance[0]) - 1
    enough = np.arange(longest) >= _WINDOW * times
    stop = int(np.argmax(enough)) if enough.any() else longest - 1
    return max(1.0, float(times[stop]))


def effective_rows(
    counts: NDArray[np.int64] | Sequence[int], step: float, tau: float
) -> float:
    """Return how many independent rows some series' rows are worth.

    Parameters
    ----------
    counts : array_like of int
        Rows of each series.
    step : float
        Time between two rows of a series.
    tau : float
        Autocorrelation time, in the same unit.

    Examples
    --------
    >>> effective_rows([360, 360], step=10.0, tau=200.0)
    36.0
    """
    share = min(1.0, step / tau) if tau > 0 else 1.0
    return float(np.sum(np.asarray(counts))) * share
