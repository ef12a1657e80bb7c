"""How the stack tells a person what it is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Reporter"]


class Reporter:
    """Says nothing; the command line's subclass writes to the terminal.

    Methods may be called from several threads at once.
    """

    def say(self, message: str) -> None:
        """Tell something worth knowing that happened once."""

    def state(self, part: str, state: str) -> None:
        """Tell that ``part`` is now ``starting``, ``ready`` and so on."""

    @contextmanager
    def download(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Show the progress of one of several downloads; yields ``advance(bytes)``."""
        yield lambda count: None

    @contextmanager
    def downloads(self, count: int, size: int) -> Iterator[None]:
        """Enclose all downloads: ``count`` files, ``size`` bytes together."""
        yield
