"""What a loop does now and then, rather than at every turn."""

from __future__ import annotations

import time

__all__ = ["Cadence"]


class Cadence:
    """Says, by name, whether something is due again.

    Examples
    --------
    >>> cadence = Cadence()
    >>> cadence.due("lag", 60), cadence.due("lag", 60)
    (True, False)
    >>> cadence.now("lag")
    >>> cadence.due("lag", 60)
    True
    """

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def due(self, name: str, seconds: float) -> bool:
        """Return whether it is time; if so, the next time is ``seconds`` later."""
        now = time.monotonic()
        if now < self._next.get(name, 0.0):
            return False
        self._next[name] = now + seconds
        return True

    def due_in(self, name: str) -> float:
        """Return the seconds until it is due, 0 when it is."""
        return max(0.0, self._next.get(name, 0.0) - time.monotonic())

    def postpone(self, name: str, seconds: float) -> None:
        """Let it be due no sooner than in so many seconds."""
        self._next[name] = time.monotonic() + seconds

    def now(self, name: str) -> None:
        """Let it be due at once."""
        self._next.pop(name, None)
