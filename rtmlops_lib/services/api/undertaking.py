"""A change that may be given up until it begins."""

from __future__ import annotations

import threading

from rtmlops_lib.errors import RtmlopsError

__all__ = ["GivenUp", "Undertaking"]


class GivenUp(RtmlopsError):
    """Nobody waits for it any more, and nothing was changed."""


class Undertaking:
    """Lets one thread prepare a change that another may call off, never half of it.

    Whoever comes first decides: after ``begin`` it is carried out, after ``give_up``
    nothing is.

    Examples
    --------
    >>> one = Undertaking()
    >>> one.begin()
    >>> one.give_up()
    False
    >>> other = Undertaking()
    >>> other.give_up()
    True
    >>> other.begin()
    Traceback (most recent call last):
    ...
    rtmlops_lib.services.api.undertaking.GivenUp: given up before anything was changed
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = False
        self._given_up = False

    def check(self, step: str = "") -> None:
        """Raise ``GivenUp`` where nobody waits any more."""
        with self._lock:
            self._raise_if_given_up()

    def begin(self) -> None:
        """Say that the change begins now, or raise ``GivenUp``."""
        with self._lock:
            self._raise_if_given_up()
            self._begun = True

    def give_up(self) -> bool:
        """Call it off; False when it has begun."""
        with self._lock:
            self._given_up = not self._begun
            return self._given_up

    def _raise_if_given_up(self) -> None:
        if self._given_up:
            raise GivenUp("given up before anything was changed")
