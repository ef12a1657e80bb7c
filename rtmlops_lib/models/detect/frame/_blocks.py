"""When to learn anew: places that depend on nothing to come."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["FIRST", "blocks"]

# Rows before the first score, and bounds of a block's length.
FIRST = 32
_SHORTEST, _LONGEST, _SHARE = 16, 1_000, 0.25


def blocks(n: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop): rows to be scored by what was learned before ``start``.

    A block is a quarter of what went before, within bounds, so that the cost of
    learning stays in proportion.

    Examples
    --------
    >>> list(blocks(100))
    [(32, 48), (48, 64), (64, 80), (80, 100)]
    """
    start = FIRST
    while start < n:
        stop = start + min(max(int(start * _SHARE), _SHORTEST), _LONGEST)
        yield start, min(stop, n)
        start = stop
