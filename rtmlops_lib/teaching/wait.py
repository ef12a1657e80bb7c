"""Waiting for something, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from rtmlops_lib.teaching.check import LessonStopped

__all__ = ["wait_until"]

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    *,
    timeout: float,
    what: str = "the condition",
    every: float = 0.1,
) -> T:
    """Ask ``condition`` again and again until it is true; return what it returned.

    Parameters
    ----------
    condition : callable
        Takes nothing; anything true ends the wait.
    timeout : float
        Seconds after which the chapter stops.
    what : str
        What is waited for, for the message.
    every : float
        Seconds between two questions.

    Raises
    ------
    LessonStopped
        When time is over; the message shows the last answer.

    Examples
    --------
    >>> answers = iter([0, 0, 3])
    >>> wait_until(lambda: next(answers), timeout=1, what="three", every=0.001)
    3
    """
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() >= deadline:
            raise LessonStopped(
                f"waited {timeout:g} s for {what}; the last answer was {answer!r}",
                remedy="see “nothing-arrives” in book/troubleshooting.md",
            )
        time.sleep(every)
    return answer
