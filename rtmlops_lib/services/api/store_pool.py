"""A few stores, each with connections of its own."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rtmlops_lib.store.postgres import PostgresStore

__all__ = ["StorePool"]


class StorePool:
    """Lends stores to threads, one each at a time.

    Parameters
    ----------
    open_store : callable
        Makes one; nothing is connected before it is used.
    size : int
        How many there are: as many as threads that ask at a time.
    """

    def __init__(self, open_store: Callable[[], PostgresStore], *, size: int) -> None:
        self._all = [open_store() for _ in range(size)]
        self._free: queue.LifoQueue[PostgresStore] = queue.LifoQueue()
        for store in self._all:
            self._free.put(store)

    @contextmanager
    def borrowed(self) -> Iterator[PostgresStore]:
        """Lend a store; the one used last first, whose connection is open."""
        store = self._free.get()
        try:
            yield store
        finally:
            self._free.put(store)

    def close(self) -> None:
        """Close those that nobody uses; the end of the process closes the others."""
        while True:
            try:
                self._free.get_nowait().close()
            except queue.Empty:
                return
