"""How long to wait before trying again."""

from __future__ import annotations

import random

__all__ = ["CONFIGURATION_RETRY_SECONDS", "Backoff"]

# A configuration fault needs a human; asking more often only fills logs.
CONFIGURATION_RETRY_SECONDS = 15.0


class Backoff:
    """Exponential delays with a cap, each drawn from the upper half of its bound.

    Parameters
    ----------
    first, cap : float
        Upper bound of the first delay, and of any, in seconds.
    seed : int, optional
        Makes the jitter reproducible.

    Examples
    --------
    >>> backoff = Backoff(first=0.2, cap=15, seed=1)
    >>> [round(backoff.next(), 2) for _ in range(4)]
    [0.11, 0.37, 0.71, 1.0]
    >>> backoff.reset()
    >>> backoff.next() <= 0.2
    True
    """

    def __init__(
        self, *, first: float = 0.2, cap: float = 15.0, seed: int | None = None
    ) -> None:
        self._first = first
        self._cap = cap
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._attempt = 0

    def next(self) -> float:
        """Return the next delay in seconds, at least half of its bound."""
        # 2 ** 30 seconds is beyond any cap; the exponent stays small.
        bound = min(self._cap, self._first * 2.0 ** min(self._attempt, 30))
        self._attempt += 1
        return bound * (0.5 + self._random.random() / 2)

    def reset(self) -> None:
        """Start anew after a success."""
        self._attempt = 0
