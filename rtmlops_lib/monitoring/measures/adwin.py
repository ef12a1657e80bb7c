"""ADWIN: a window that forgets what no longer holds."""

from __future__ import annotations

import math

from rtmlops_lib.monitoring.measures.stream_test import StreamTest

__all__ = ["Adwin"]

# Buckets of one size before two are merged: more cuts are tried, more is remembered.
_PER_SIZE = 5


class Adwin(StreamTest):
    r"""Adaptive windowing: drops old values when the mean before and after differ.

    The window is cut wherever two parts of n and m values have means that differ by
    more than

    .. math:: \epsilon = \sqrt{\tfrac{2}{h} \sigma^2 \ln \tfrac{2}{\delta'}}
        + \tfrac{2}{3 h} \ln \tfrac{2}{\delta'}, \quad
        \tfrac{1}{h} = \tfrac1n + \tfrac1m, \quad \delta' = \tfrac{\delta}{\ln(n + m)}

    Values must lie within about 0 and 1 for the second term; scale them. They are
    kept in buckets of 1, 2, 4, ... values, so that memory and time are logarithmic.

    Parameters
    ----------
    delta : float
        Confidence: the chance of a false cut.
    clock : int
        Cuts are looked for at every so many values.
    minimum : int
        Smallest part of the window.

    References
    ----------
    A. Bifet, R. Gavaldà, "Learning from time-changing data with adaptive windowing",
    SIAM International Conference on Data Mining 2007.

    Examples
    --------
    >>> test = Adwin(clock=1)
    >>> seen = [test.update(x) for x in [0.2] * 100 + [0.8] * 100]
    >>> seen.index(True), test.change_length
    (117, 120)
    """

    name = "ADWIN"

    def __init__(self, delta: float = 0.002, clock: int = 32, minimum: int = 5) -> None:
        self.delta = delta
        self.clock = clock
        self.minimum = minimum
        self._reset()

    def _reset(self) -> None:
        # Per size 2**i the buckets, oldest first: (sum, sum of squared deviations).
        self._rows: list[list[tuple[float, float]]] = [[]]
        self._count = 0
        self._seen = 0
        self._changed_at: int | None = None

    def fresh(self) -> Adwin:
        """Return a test of the same parameters that has seen nothing."""
        return Adwin(self.delta, self.clock, self.minimum)

    @property
    def width(self) -> int:
        """How many values the window holds."""
        return self._count

    @property
    def mean(self) -> float:
        """The mean of the window; 0 while it is empty."""
        total = sum(s for row in self._rows for s, _ in row)
        return total / self._count if self._count else 0.0

    @property
    def change_length(self) -> int:
        """How many of the newest values lie after the change seen last."""
        return 0 if self._changed_at is None else self._seen - self._changed_at

    def update(self, value: float) -> bool:
        """Take the next value; return whether older ones were dropped."""
        self._seen += 1
        self._count += 1
        self._rows[0].append((float(value), 0.0))
        self._merge()
        if self._seen % self.clock or self._count < 2 * self.minimum:
            return False
        changed = False
        while self._cut():
            changed = True
            self._changed_at = self._seen - self._count
        return changed

    def _merge(self) -> None:
        for size, row in enumerate(self._rows):
            if len(row) <= _PER_SIZE:
                return
            (a, v), (b, w) = row.pop(0), row.pop(0)
            n = 2**size
            between = (a / n - b / n) ** 2 * n / 2
            if size + 1 == len(self._rows):
                self._rows.append([])
            self._rows[size + 1].append((a + b, v + w + between))

    def _cut(self) -> bool:
        """Drop the oldest bucket if some cut separates two levels."""
        buckets = [
            (2**size, s, v)
            for size in range(len(self._rows) - 1, -1, -1)
            for s, v in self._rows[size]
        ]
        total = sum(s for _, s, _ in buckets)
        mean = total / self._count
        spread = sum(v + n * (s / n - mean) ** 2 for n, s, v in buckets)
        variance = spread / self._count
        confidence = math.log(2 * math.log(self._count) / self.delta)
        n, old = 0, 0.0
        for size, s, _ in buckets[:-1]:
            n, old = n + size, old + s
            m = self._count - n
            if n < self.minimum:
                continue
            if m < self.minimum:
                return False
            inverse = 1 / n + 1 / m
            limit = math.sqrt(2 * inverse * variance * confidence)
            limit += 2 / 3 * inverse * confidence
            if abs(old / n - (total - old) / m) > limit:
                self._drop()
                return True
        return False

    def _drop(self) -> None:
        self._count -= 2 ** (len(self._rows) - 1)
        self._rows[-1].pop(0)
        while len(self._rows) > 1 and not self._rows[-1]:
            self._rows.pop()
