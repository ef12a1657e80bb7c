"""An answer that is kept for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Kept"]

ValueT = TypeVar("ValueT")


class Kept(Generic[ValueT]):
    """Asks once for all who want to know within some seconds; errors are not kept.

    Parameters
    ----------
    ask : callable
    seconds : float

    Examples
    --------
    >>> numbers = iter(range(9))
    >>> async def ask():
    ...     return next(numbers)
    >>> async def twice():
    ...     kept = Kept(ask, seconds=60)
    ...     return await kept.get(), await kept.get()
    >>> asyncio.run(twice())
    (0, 0)
    """

    def __init__(self, ask: Callable[[], Awaitable[ValueT]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._until = float("-inf")
        self._value: ValueT

    async def get(self) -> ValueT:
        """Return what is known, or ask."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._value = await self._ask()
                self._until = time.monotonic() + self._seconds
            return self._value

    def forget(self) -> None:
        """Ask again next time: what was answered has been changed."""
        self._until = float("-inf")
