"""Find the rows that a database refuses, by halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["find_refused"]

FaultT = TypeVar("FaultT")


def find_refused(
    rows: range,
    attempt: Callable[[range], FaultT | None],
    *,
    known_bad: bool = False,
    stop: Callable[[int], bool] = lambda refused: False,
) -> dict[int, FaultT]:
    """Store what can be stored, in order, and return the rest with their faults.

    Parameters
    ----------
    rows : range
        Places of the rows.
    attempt : callable
        Stores a range of them or returns the fault, having stored none.
    known_bad : bool
        True when storing all at once was tried already.
    stop : callable
        Told the number of refused rows; True ends the search early.

    Examples
    --------
    >>> stored = []
    >>> def attempt(part):
    ...     if 3 in part:
    ...         return "three is odd"
    ...     stored.extend(part)
    >>> find_refused(range(8), attempt), stored
    ({3: 'three is odd'}, [0, 1, 2, 4, 5, 6, 7])
    """
    refused: dict[int, FaultT] = {}
    # Ranges still to do, the next one last; True: it holds a bad row for certain.
    todo = [(rows, known_bad)]
    while todo:
        part, bad = todo.pop()
        fault = None
        if not bad or len(part) == 1:
            fault = attempt(part)
            if fault is None:
                continue
        if len(part) == 1:
            if fault is not None:
                refused[part[0]] = fault
                if stop(len(refused)):
                    break
            continue
        middle = len(part) // 2
        first, second = part[:middle], part[middle:]
        if (fault_of_first := attempt(first)) is None:
            # All of first is stored, so what was wrong stands in second.
            todo.append((second, True))
        elif len(first) == 1:
            refused[first[0]] = fault_of_first
            if stop(len(refused)):
                break
            todo.append((second, False))
        else:
            todo += [(second, False), (first, True)]
    return refused
