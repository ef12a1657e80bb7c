"""Ending a hand-built loop at chosen moments, and starting it again."""

from __future__ import annotations

from collections.abc import Callable

from rtmlops_lib.errors import UsageError

__all__ = ["Killed", "Kills"]


class Killed(BaseException):
    """The process ends here: like a kill, it passes by ``except Exception``."""


class Kills:
    """Kills at chosen visits of the places marked by ``here``.

    Parameters
    ----------
    *visits : int
        Which visits are fatal, counted from 1 over all lives.

    Notes
    -----
    Taught in chapter 04.

    Examples
    --------
    >>> kills, steps = Kills(2, 5), iter(range(4))
    >>> def life() -> None:
    ...     for step in steps:
    ...         kills.here()
    ...         print("did", step)
    ...         kills.here()
    >>> kills.survive(life)
    did 0
    did 1
    did 3
    2
    """

    def __init__(self, *visits: int) -> None:
        if any(visit < 1 for visit in visits):
            raise UsageError(f"visits count from 1; got {visits}")
        self._fatal = frozenset(visits)
        self._visits = 0

    def here(self) -> None:
        """Die, if this visit is a fatal one.

        Raises
        ------
        Killed
        """
        self._visits += 1
        if self._visits in self._fatal:
            raise Killed

    def survive(self, life: Callable[[], object]) -> int:
        """Call ``life`` until it ends by itself; return how often it was killed."""
        deaths = 0
        while True:
            try:
                life()
            except Killed:
                deaths += 1
            else:
                return deaths
