"""First-order recursions: autocorrelated noise and lagged response."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["AutoregressiveNoise", "FirstOrderLag"]


class AutoregressiveNoise:
    r"""Noise that remembers: :math:`x_t = a x_{t-1} + \sqrt{1 - a^2}\,\epsilon_t`.

    It has unit variance and autocorrelation :math:`e^{-k \Delta / \tau}` at lag k.

    Parameters
    ----------
    time_constant_seconds : array_like(float, ndim=1)
        The :math:`\tau` of each of n series.
    interval_seconds : float
        The sampling step :math:`\Delta`.

    Examples
    --------
    >>> noise = AutoregressiveNoise([600.0], 10.0)
    >>> x = noise.filter(np.random.default_rng(1).standard_normal((50_000, 1)))[:, 0]
    >>> round(float(np.corrcoef(x[:-60], x[60:])[0, 1]), 1), round(float(x.std()), 1)
    (0.4, 1.0)
    """

    def __init__(
        self, time_constant_seconds: NDArray[np.float64], interval_seconds: float
    ) -> None:
        tau = np.asarray(time_constant_seconds, np.float64)
        self.a = np.exp(-interval_seconds / tau)
        self.b = np.sqrt(1 - self.a**2)
        self._reset()

    def _reset(self) -> None:
        self._x = np.zeros_like(self.a)

    def filter(self, innovations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Continue the series; ``innovations`` is white, of shape (steps, n)."""
        result: NDArray[np.float64] = innovations * self.b
        carried = np.empty_like(self._x)
        previous = self._x
        for row in result:
            np.multiply(self.a, previous, out=carried)
            np.add(row, carried, out=row)
            previous = row
        self._x = previous.copy()
        return result


class FirstOrderLag:
    r"""A state that follows its target: :math:`\dot y = (u - y) / \tau`.

    It starts in balance with the first target it sees.

    Parameters
    ----------
    time_constant_seconds : float
        :math:`\tau`: after it, 63 % of a step are there.
    interval_seconds : float
        The sampling step.

    Examples
    --------
    >>> lag = FirstOrderLag(20.0, 10.0)
    >>> lag.follow(np.array([[0.0], [1.0], [1.0], [1.0]])).ravel().round(2).tolist()
    [0.0, 0.39, 0.63, 0.78]
    """

    def __init__(self, time_constant_seconds: float, interval_seconds: float) -> None:
        self.a = math.exp(-interval_seconds / time_constant_seconds)
        self._reset()

    def _reset(self) -> None:
        self._y: NDArray[np.float64] | None = None

    def follow(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        """Continue towards ``target``, shape (steps, n)."""
        previous = target[0] if self._y is None else self._y
        result: NDArray[np.float64] = target * (1 - self.a)
        carried = np.empty_like(previous)
        for row in result:
            np.multiply(previous, self.a, out=carried)
            np.add(row, carried, out=row)
            previous = row
        self._y = previous.copy()
        return result
