"""Many instants at once: ISO 8601 text to microseconds since 1970, and back.

Texts of one length form a matrix of bytes, so that parsing is arithmetic on its
columns: 5,000 texts take a third of a millisecond instead of three.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_TIME", "MIN_TIME", "TimeFault", "format_iso", "parse_iso"]

# The years that ISO 8601 writes with four digits, in microseconds; PostgreSQL's
# timestamptz and numpy's datetime64[us] hold more.
MIN_TIME = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
MAX_TIME = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z

_SHORTEST = len("2025-09-30T12:34:56Z")
_LONGEST = len("2025-09-30T12:34:56.123456789+00:00")
_SECONDS_END = len("2025-09-30T12:34:56")
_DIGIT_COLUMNS = np.array([0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18])
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class TimeFault(IntEnum):
    """What is wrong with a time's text."""

    NONE = 0
    BAD = 1
    NAIVE = 2


def parse_iso(texts: Sequence[str]) -> tuple[Ints, NDArray[np.uint8]]:
    """Read instants, truncated to microseconds.

    Accepted is ``YYYY-MM-DDTHH:MM:SS`` (or a space for the ``T``), a fraction of one
    to nine digits or none, then ``Z``, ``+HH:MM``, ``+HHMM`` or ``+HH``; the years
    1 to 9999 of UTC. A leap second (``:60``) and 24 o'clock are not accepted.

    Parameters
    ----------
    texts : sequence of str, length n

    Returns
    -------
    times : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC; 0 where there is a fault.
    faults : ndarray of uint8, shape (n,)
        A ``TimeFault`` each.

    Examples
    --------
    >>> times, faults = parse_iso(["1970-01-01T00:00:01.5Z", "1970-01-01T00:00:01"])
    >>> times.tolist(), [TimeFault(fault).name for fault in faults]
    ([1500000, 0], ['NONE', 'NAIVE'])
    """
    count = len(texts)
    times = np.zeros(count, np.int64)
    good = np.zeros(count, np.bool_)
    joined = "".join(texts)
    if not joined.isascii():
        texts = [text if text.isascii() else "" for text in texts]
        joined = "".join(texts)
    buffer = np.frombuffer(joined.encode("ascii"), np.uint8)
    sizes = list(map(len, texts))
    kinds = set(sizes)
    wanted = {size for size in kinds if _SHORTEST <= size <= _LONGEST}
    if len(kinds) == 1 and wanted:
        times, good = _parse_matrix(buffer.reshape(count, -1))
        if good.all():
            return times, np.zeros(count, np.uint8)
    else:
        lengths = np.array(sizes, np.int64)
        starts = np.cumsum(lengths) - lengths
        for size in wanted:
            rows = np.flatnonzero(lengths == size)
            matrix = buffer[starts[rows][:, None] + np.arange(size)]
            times[rows], good[rows] = _parse_matrix(matrix)
    faults = np.where(good, np.uint8(TimeFault.NONE), np.uint8(TimeFault.BAD))
    for row in np.flatnonzero(~good).tolist():
        if _is_naive(texts[row]):
            faults[row] = TimeFault.NAIVE
    return times, faults


def format_iso(times: Ints) -> list[str]:
    """Write instants with ``Z`` and the shortest exact fraction.

    Examples
    --------
    >>> format_iso(np.array([0, 1_500_000]))
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01.5Z']
    """
    whole = np.datetime_as_string(
        times.astype("datetime64[us]").astype("datetime64[s]")
    )
    fractions = times % _SECOND
    if not fractions.any():
        return [f"{text}Z" for text in whole.tolist()]
    return [
        f"{text}.{fraction:06d}".rstrip("0") + "Z" if fraction else f"{text}Z"
        for text, fraction in zip(whole.tolist(), fractions.tolist(), strict=True)
    ]


def _parse_matrix(matrix: Bytes) -> tuple[Ints, Flags]:
    """Parse texts of one length, whatever their suffixes."""
    last = matrix[:, -1] | 0x20  # lower case
    zulu = last == ord("z")
    if zulu.all():
        return _parse_uniform(matrix, 1)
    times = np.zeros(len(matrix), np.int64)
    good = np.zeros(len(matrix), np.bool_)
    widths = np.select(
        [
            zulu,
            _is_sign(matrix[:, -6]),
            _is_sign(matrix[:, -5]),
            _is_sign(matrix[:, -3]),
        ],
        [1, 6, 5, 3],
        default=0,
    )
    for width in (1, 6, 5, 3):
        rows = np.flatnonzero(widths == width)
        if len(rows):
            times[rows], good[rows] = _parse_uniform(matrix[rows], width)
    return times, good


def _parse_uniform(matrix: Bytes, suffix: int) -> tuple[Ints, Flags]:
    """Parse texts of one length and one width of suffix (``Z``, ``+HH`` ...)."""
    count, length = matrix.shape
    body = length - suffix
    if body != _SECONDS_END and not _SECONDS_END + 2 <= body <= _SECONDS_END + 10:
        return np.zeros(count, np.int64), np.zeros(count, np.bool_)
    # A byte below "0" wraps around to a large number and is no digit either.
    columns = np.ascontiguousarray((matrix - np.uint8(48)).T)
    good: Flags = (columns[_DIGIT_COLUMNS] <= 9).all(axis=0)
    good &= (matrix[:, 4] == ord("-")) & (matrix[:, 7] == ord("-"))
    good &= (matrix[:, 13] == ord(":")) & (matrix[:, 16] == ord(":"))
    separator = matrix[:, 10]
    good &= (separator | 0x20 == ord("t")) | (separator == ord(" "))
    year = _number(columns, 0, 4)
    month, day = _number(columns, 5, 7), _number(columns, 8, 10)
    hour, minute = _number(columns, 11, 13), _number(columns, 14, 16)
    second = _number(columns, 17, 19)
    good &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= (hour <= 23) & (minute <= 59) & (second <= 59)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    following = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    good &= day <= following.astype(np.int64) - first
    seconds = (hour * 60 + minute) * 60 + second
    times = (first + day - 1) * _DAY + seconds * _SECOND
    if body > _SECONDS_END:
        good &= matrix[:, _SECONDS_END] == ord(".")
        good &= (columns[_SECONDS_END + 1 : body] <= 9).all(axis=0)
        kept = min(body, _SECONDS_END + 7)
        fraction = _number(columns, _SECONDS_END + 1, kept)
        times += fraction * 10 ** (_SECONDS_END + 7 - kept)
    if suffix > len("Z"):
        shift, valid = _offset(matrix[:, body:], columns[body:])
        good &= valid
        times -= shift
        good &= (times >= MIN_TIME) & (times <= MAX_TIME)
    times[~good] = 0
    return times, good


def _offset(suffix: Bytes, columns: Bytes) -> tuple[Ints, Flags]:
    """Return the offsets from UTC in microseconds, and whether they are ones."""
    width = suffix.shape[1]
    good: Any = (columns[[1, 2]] <= 9).all(axis=0)
    hours = _number(columns, 1, 3)
    minutes: Ints = np.zeros(len(suffix), np.int64)
    if width > 3:
        good &= (columns[[-2, -1]] <= 9).all(axis=0)
        minutes = _number(columns, width - 2, width)
    if width == 6:
        good = good & (suffix[:, 3] == ord(":"))
    good = good & (hours <= 23) & (minutes <= 59)
    shift = (hours * 60 + minutes) * 60 * _SECOND
    return np.where(suffix[:, 0] == ord("-"), -shift, shift), good


def _number(columns: Bytes, start: int, stop: int) -> Ints:
    value: Ints = columns[start].astype(np.int64)
    for column in columns[start + 1 : stop]:
        value = value * 10 + column
    return value


def _is_sign(column: Bytes) -> Flags:
    flags: Flags = (column == ord("+")) | (column == ord("-"))
    return flags


def _is_naive(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False
