"""An answer that is kept for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Kept"]

ValueT = TypeVar("ValueT")


class Kept(Generic[ValueT]):
    """Asks once for all who want to know within some seconds.

    Whoever comes while the answer is awaited waits for the same one, an error
    included: while a server is silent, questions do not pile up before it.

    Parameters
    ----------
    ask : callable
    seconds : float

    Examples
    --------
    >>> numbers = iter(range(9))
    >>> async def ask():
    ...     return next(numbers)
    >>> async def trial():
    ...     kept = Kept(ask, seconds=60)
    ...     found = await asyncio.gather(kept.get(), kept.get()), await kept.get()
    ...     kept.forget()
    ...     return *found, await kept.get()
    >>> asyncio.run(trial())
    ([0, 0], 0, 1)
    """

    def __init__(self, ask: Callable[[], Awaitable[ValueT]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asking: asyncio.Task[ValueT] | None = None
        self._since = 0.0

    async def get(self) -> ValueT:
        """Return what is known, or ask."""
        if self._asking is None or self._is_over(self._asking):
            self._asking = asyncio.create_task(self._begin())
        # The question goes on for the others when one of them turns away.
        return await asyncio.shield(self._asking)

    def forget(self) -> None:
        """Ask again next time: what was answered, or is about to be, has changed."""
        self._asking = None

    async def _begin(self) -> ValueT:
        try:
            return await self._ask()
        finally:
            self._since = time.monotonic()

    def _is_over(self, asking: asyncio.Task[ValueT]) -> bool:
        if not asking.done():
            return False
        if asking.cancelled() or asking.exception() is not None:
            return True
        return time.monotonic() - self._since > self._seconds
