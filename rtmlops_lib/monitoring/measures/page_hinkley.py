"""Page–Hinkley: a rising mean, found by its accumulated excess."""

from __future__ import annotations

from rtmlops_lib.monitoring.measures.stream_test import StreamTest

__all__ = ["PageHinkley"]


class PageHinkley(StreamTest):
    r"""Page–Hinkley test for a mean that rises.

    .. math:: m_t = \sum_{i \le t} (x_i - \bar x_i - \delta), \quad
        \text{change when } m_t - \min_{s \le t} m_s > \lambda

    :math:`\bar x_i` is the mean of the values so far, or ``mean`` where the level to
    hold is known. The change lies where the minimum was: one value later the sum
    began to climb.

    Parameters
    ----------
    delta : float
        Rises up to this are tolerated, in the unit of the values.
    threshold : float
        The :math:`\lambda`: accumulated excess that is a change.
    minimum : int
        Values before any change is told.
    mean : float, optional
        The level to hold.

    References
    ----------
    E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954).
    D. V. Hinkley, "Inference about the change-point from cumulative sum tests",
    Biometrika 58 (1971).

    Examples
    --------
    >>> test = PageHinkley(delta=0.1, threshold=5.0)
    >>> seen = [test.update(x) for x in [0.0] * 100 + [1.0] * 20]
    >>> seen.index(True), test.change_length
    (105, 20)
    """

    name = "Page–Hinkley"

    def __init__(
        self,
        delta: float = 0.005,
        threshold: float = 50.0,
        minimum: int = 30,
        mean: float | None = None,
    ) -> None:
        self.delta = delta
        self.threshold = threshold
        self.minimum = minimum
        self.mean = mean
        self._reset()

    def _reset(self) -> None:
        self._count = 0
        self._average = 0.0
        self._excess = 0.0
        self._lowest = 0.0
        self._since_lowest = 0
        self._change_length = 0

    def fresh(self) -> PageHinkley:
        """Return a test of the same parameters that has seen nothing."""
        return PageHinkley(self.delta, self.threshold, self.minimum, self.mean)

    @property
    def change_length(self) -> int:
        """How many of the newest values lie after the change seen last."""
        return self._change_length

    @property
    def climb(self) -> float:
        """By how much the accumulated excess lies above its minimum."""
        return self._excess - self._lowest

    @property
    def climb_length(self) -> int:
        """How many values came after that minimum."""
        return self._since_lowest

    def update(self, value: float) -> bool:
        """Take the next value; after a change the test begins anew."""
        self._count += 1
        self._change_length += bool(self._change_length)
        self._average += (value - self._average) / self._count
        level = self._average if self.mean is None else self.mean
        self._excess += value - level - self.delta
        if self._excess <= self._lowest:
            self._lowest, self._since_lowest = self._excess, 0
        else:
            self._since_lowest += 1
        if self._count < self.minimum:
            return False
        if self.climb <= self.threshold:
            return False
        length = self._since_lowest
        self._reset()
        self._change_length = length
        return True
