"""First-order recursions: autocorrelated noise and lagged response."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["AutoregressiveNoise", "FirstOrderLag", "between"]


def between(
    before: NDArray[np.float64], points: NDArray[np.float64], parts: int
) -> NDArray[np.float64]:
    """Return ``points`` with ``parts - 1`` values before each, on straight lines.

    Parameters
    ----------
    before : array_like(float, ndim=1)
        The n values one step before the first point.
    points : array_like(float, ndim=2)
        Of shape (steps, n).
    parts : int
        Steps into which each is divided; 1 returns the points themselves.

    Returns
    -------
    ndarray(float, ndim=2)
        Of shape (steps * parts, n).

    Examples
    --------
    >>> between(np.array([0.0]), np.array([[1.0], [3.0]]), 2).ravel().tolist()
    [0.5, 1.0, 2.0, 3.0]
    """
    if parts == 1:
        return points
    former = np.concatenate((before[None, :], points[:-1]))
    share = (np.arange(1, parts + 1) / parts)[:, None]
    filled = former[:, None, :] + (points - former)[:, None, :] * share
    # Not by way of a difference: what stands on the grid is the point, to the bit.
    filled[:, -1, :] = points
    return filled.reshape(-1, points.shape[1])


class AutoregressiveNoise:
    r"""Noise that remembers: :math:`x_t = a x_{t-1} + \sqrt{1 - a^2}\,\epsilon_t`.

    It has unit variance and autocorrelation :math:`e^{-k \Delta / \tau}` at lag k.

    Parameters
    ----------
    time_constant_seconds : array_like(float, ndim=1)
        The :math:`\tau` of each of n series.
    interval_seconds : float
        The sampling step :math:`\Delta`.
    parts : int
        Into how many readings, on a straight line, each step is divided.

    Examples
    --------
    >>> noise = AutoregressiveNoise([600.0], 10.0)
    >>> x = noise.filter(np.random.default_rng(1).standard_normal((50_000, 1)))[:, 0]
    >>> round(float(np.corrcoef(x[:-60], x[60:])[0, 1]), 1), round(float(x.std()), 1)
    (0.4, 1.0)
    """

    def __init__(
        self,
        time_constant_seconds: NDArray[np.float64],
        interval_seconds: float,
        parts: int = 1,
    ) -> None:
        self.parts = parts
        tau = np.asarray(time_constant_seconds, np.float64)
        self.a = np.exp(-interval_seconds / tau)
        self.b = np.sqrt(1 - self.a**2)
        self._reset()

    def _reset(self) -> None:
        self._x = np.zeros_like(self.a)

    def filter(
        self, innovations: NDArray[np.float64], *, whole: bool = False
    ) -> NDArray[np.float64]:
        """Continue the series; ``innovations`` is white, of shape (steps, n).

        Returns (steps * parts, n) values, or only the steps themselves if ``whole``.
        """
        before = self._x
        result: NDArray[np.float64] = innovations * self.b
        carried = np.empty_like(self._x)
        previous = self._x
        for row in result:
            np.multiply(self.a, previous, out=carried)
            np.add(row, carried, out=row)
            previous = row
        self._x = previous.copy()
        return between(before, result, 1 if whole else self.parts)


class FirstOrderLag:
    r"""A state that follows its target: :math:`\dot y = (u - y) / \tau`.

    It starts in balance with the first target it sees.

    Parameters
    ----------
    time_constant_seconds : float
        :math:`\tau`: after it, 63 % of a step are there.
    interval_seconds : float
        The sampling step.
    parts : int
        Into how many readings, on a straight line, each step is divided.

    Examples
    --------
    >>> lag = FirstOrderLag(20.0, 10.0)
    >>> lag.follow(np.array([[0.0], [1.0], [1.0], [1.0]])).ravel().round(2).tolist()
    [0.0, 0.39, 0.63, 0.78]
    """

    def __init__(
        self, time_constant_seconds: float, interval_seconds: float, parts: int = 1
    ) -> None:
        self.parts = parts
        self.a = math.exp(-interval_seconds / time_constant_seconds)
        self._reset()

    def _reset(self) -> None:
        self._y: NDArray[np.float64] | None = None

    def follow(
        self, target: NDArray[np.float64], *, whole: bool = False
    ) -> NDArray[np.float64]:
        """Continue towards ``target`` and return as many values.

        Its shape is (steps * parts, n), or (steps, n) if ``whole``.
        """
        parts = 1 if whole else self.parts
        target = target[parts - 1 :: parts]
        before = previous = target[0] if self._y is None else self._y
        result: NDArray[np.float64] = target * (1 - self.a)
        carried = np.empty_like(previous)
        for row in result:
            np.multiply(previous, self.a, out=carried)
            np.add(row, carried, out=row)
            previous = row
        self._y = previous.copy()
        return between(before, result, parts)
