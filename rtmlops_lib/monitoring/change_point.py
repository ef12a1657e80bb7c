"""When a level began to rise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring.measures.adwin import Adwin
from rtmlops_lib.monitoring.measures.page_hinkley import PageHinkley

__all__ = ["ChangePoint", "change_point", "level_shift"]

Array = NDArray[np.float64]

# Page and Hinkley's tolerance and limit, in standard deviations of the bins.
_TOLERANCE, _LIMIT = 0.5, 8.0


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """Where three methods place a change: the first value after it, or None.

    Parameters
    ----------
    level_shift : int
        The best single step, by least squares.
    page_hinkley, adwin : int, optional
        None: they see no change.
    """

    level_shift: int
    page_hinkley: int | None
    adwin: int | None

    @property
    def best(self) -> int | None:
        """The step by least squares, where a stream test sees a change as well."""
        seen = self.page_hinkley is not None or self.adwin is not None
        return self.level_shift if seen else None


def level_shift(x: Array, weight: Array | None = None) -> int:
    r"""Return where a single step up fits best: the first value of the new level.

    .. math:: k = \arg\max_k \frac{W_1 W_2}{W_1 + W_2} (\bar x_2 - \bar x_1)^2,
        \quad \bar x_2 > \bar x_1

    with :math:`W` the weights before and from k on: maximum likelihood for one change
    of the mean under normal noise. 0 where no step up fits.

    Parameters
    ----------
    x, weight : ndarray of float, shape (n,)

    References
    ----------
    D. V. Hinkley, "Inference about the change-point in a sequence of random
    variables", Biometrika 57 (1970).

    Examples
    --------
    >>> level_shift(np.array([1.0, 1.1, 0.9, 3.0, 3.1]))
    3
    """
    if len(x) < 2:
        return 0
    w = np.ones(len(x)) if weight is None else weight
    before, total = np.cumsum(w)[:-1], float(w.sum())
    sums = np.cumsum(w * x)[:-1]
    after = np.maximum(total - before, 1e-12)
    rise = (np.sum(w * x) - sums) / after - sums / np.maximum(before, 1e-12)
    gain = before * after / total * np.maximum(rise, 0.0) ** 2
    return int(np.argmax(gain)) + 1 if gain.max() > 0 else 0


def change_point(
    x: Array, weight: Array, reference_mean: float, reference_deviation: float
) -> ChangePoint:
    """Look for the beginning of a rise above a known level.

    Parameters
    ----------
    x, weight : ndarray of float, shape (n,)
        Mean and number of values in each of some bins of equal length.
    reference_mean, reference_deviation : float
        Of bins while nothing had changed.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> x = random.normal(1.0, 0.1, 200)
    >>> x[150:] += 0.5
    >>> change_point(x, np.ones(200), 1.0, 0.1).best
    150
    """
    unit = reference_deviation or 1e-3 * abs(reference_mean) or 1.0
    z = (x - reference_mean) / unit
    # Without an end to its climb: of several rises the one that lasts is wanted.
    page = PageHinkley(delta=_TOLERANCE, threshold=np.inf, mean=0.0)
    adwin = Adwin(clock=1)
    adwin_at = None
    # ADWIN wants values within 0 and 1.
    scaled = np.clip(z / 20 + 0.5, 0.0, 1.0).tolist()
    for at, (value, small) in enumerate(zip(z.tolist(), scaled, strict=True)):
        page.update(value)
        if adwin.update(small):
            adwin_at = at + 1 - adwin.change_length
    page_at = len(x) - page.climb_length if page.climb > _LIMIT else None
    return ChangePoint(level_shift(x, weight), page_at, adwin_at)
