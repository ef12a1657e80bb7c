"""Calls that block, away from the event loop, a bounded number of them at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from rtmlops_lib.errors import DependencyUnavailable

__all__ = ["NoAnswer", "Workers"]

ResultT = TypeVar("ResultT")


class NoAnswer(DependencyUnavailable):
    """A call took longer than it may; what it did, and does, is not known."""


class Workers:
    """Runs blocking calls on threads of their own.

    They are daemons, unlike those of an executor or of the framework: a call that
    waits for a silent server keeps the process neither from answering nor from
    ending. Each dependency has its own, so that one which is away does not take the
    threads of another.

    Parameters
    ----------
    name : str
        Whom they ask: stands in errors and thread names.
    at_once : int
        Calls under way at a time; more wait.
    seconds : float
        How long a call may wait and work together.

    Examples
    --------
    >>> workers = Workers("arithmetic", at_once=2, seconds=1)
    >>> asyncio.run(workers.run(lambda: 1 + 1))
    2
    """

    def __init__(self, name: str, *, at_once: int, seconds: float) -> None:
        self.name = name
        self._places = asyncio.Semaphore(at_once)
        self._seconds = seconds

    async def run(
        self, function: Callable[[], ResultT], *, seconds: float | None = None
    ) -> ResultT:
        """Return what ``function`` returns, or raise what it raises.

        Raises
        ------
        NoAnswer
            When the time is over. The call itself goes on to its own end, and holds
            its place until then.
        """
        limit = self._seconds if seconds is None else seconds
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[ResultT] = loop.create_future()
        # Whoever asked may be gone by then, and asyncio complain of an error unread.
        answer.add_done_callback(_read)
        try:
            async with asyncio.timeout(limit):
                await self._places.acquire()
                self._start(function, answer, loop)
                return await asyncio.shield(answer)
        except TimeoutError:
            raise NoAnswer(
                f"{self.name} did not answer within {limit:g} s",
                remedy="try again; /readyz says how things stand",
            ) from None

    def _start(
        self,
        function: Callable[[], ResultT],
        answer: asyncio.Future[ResultT],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        thread = threading.Thread(
            target=self._work,
            args=(function, answer, loop),
            name=f"api-{self.name}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads
            self._places.release()
            raise DependencyUnavailable(
                f"no thread could be started: {error}",
                remedy="raise the limit of processes, or of memory",
            ) from error

    def _work(
        self,
        function: Callable[[], ResultT],
        answer: asyncio.Future[ResultT],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = function()
        except BaseException as error:
            failure = error

        def tell() -> None:
            self._places.release()
            if answer.done():
                return
            if failure is None:
                answer.set_result(result)
            else:
                answer.set_exception(failure)

        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop has ended meanwhile
            return


def _read(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()
