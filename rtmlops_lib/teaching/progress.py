"""Progress of a loop: lively while it runs, one quiet line when it is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rtmlops_lib.teaching._display import display_bundle, in_notebook

__all__ = ["LiveProgress", "live_progress"]

_WIDTH = 30
_EVERY_SECONDS = 0.25


class LiveProgress:
    """A bar that redraws itself at most four times a second.

    Parameters
    ----------
    what : str
        What is counted: ``events``.
    total : int, optional
        How many there will be, if that is known.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._started = time.monotonic()
        self._drawn = self._started
        self._handle: Any = None

    def add(self, count: int) -> None:
        """Say that so many more are done."""
        self.update(self.done + count)

    def update(self, done: int) -> None:
        """Say how many are done."""
        self.done = done
        now = time.monotonic()
        if now - self._drawn >= _EVERY_SECONDS:
            self._drawn = now
            self._draw(self._bar())

    def close(self) -> None:
        """Leave one line: what was done, and how long it took."""
        seconds = time.monotonic() - self._started
        line = f"{self.done:,} {self.what} in {seconds:.1f} s"
        if in_notebook():
            self._draw(line)
        else:
            print(line)

    def _bar(self) -> str:
        if not self.total:
            return f"{self.done:,} {self.what} …"
        share = min(1.0, self.done / self.total)
        filled = round(share * _WIDTH)
        bar = "█" * filled + "░" * (_WIDTH - filled)
        return f"{bar} {self.done:,} of {self.total:,} {self.what}"

    def _draw(self, text: str) -> None:
        if not in_notebook():
            return
        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = display_bundle(bundle, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


@contextmanager
def live_progress(what: str, total: int | None = None) -> Iterator[LiveProgress]:
    """Show how far a loop is.

    Examples
    --------
    >>> with live_progress("events", total=3) as progress:
    ...     for _ in range(3):
    ...         progress.add(1)
    3 events in 0.0 s
    """
    progress = LiveProgress(what, total)
    try:
        yield progress
    finally:
        progress.close()
