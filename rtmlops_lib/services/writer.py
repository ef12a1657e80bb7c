"""The writer thread: one database call at a time, repeated until it succeeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue

from rtmlops_lib.errors import ConfigurationFault, DependencyUnavailable
from rtmlops_lib.services.backoff import CONFIGURATION_RETRY_SECONDS, Backoff
from rtmlops_lib.services.tasks import Task
from rtmlops_lib.store import Store
from rtmlops_lib.streams import TopicPartition

__all__ = ["Outcome", "Writer"]

# A call to the database takes some milliseconds.
SOONEST_SECONDS = 0.01
# Closing a connection asks nobody, so it takes no time.
CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run: a result, or a fault after which it is tried again."""

    task: Task
    result: object = None
    fault: DependencyUnavailable | None = None


class Writer:
    """Runs tasks against the store on a thread of its own.

    Every method is called from the loop's thread. The thread is a daemon: a call
    that hangs beyond its deadline cannot keep the process from ending.

    Parameters
    ----------
    store : Store
        Touched by the writer thread only, and closed by it when it ends.
    deadline_seconds : float
        Bound on each call.
    """

    def __init__(self, store: Store, *, deadline_seconds: float) -> None:
        self.deadline_seconds = deadline_seconds
        self._store = store
        self._queue: SimpleQueue[tuple[Task, float, Future[object]] | None] = (
            SimpleQueue()
        )
        self._task: Task | None = None
        self._running: Future[object] | None = None
        self._running_since = 0.0
        self._dropped: set[TopicPartition] = set()
        self._not_before = 0.0
        self._backoff = Backoff()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def _work(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                task, seconds, future = item
                try:
                    future.set_result(task.run(self._store, seconds))
                except BaseException as error:
                    future.set_exception(error)
        finally:
            self._store.close()

    @property
    def busy(self) -> bool:
        """Whether a task is under way or waits for its next try."""
        return self._task is not None

    @property
    def running(self) -> bool:
        """Whether a call is under way right now."""
        return self._running is not None

    @property
    def resting(self) -> bool:
        """Whether nothing may start yet, after a fault."""
        return time.monotonic() < self._not_before

    def due_in(self) -> float | None:
        """Return the seconds until there may be something to do, None where not.

        A call that takes long is looked at less often: the delay adds a quarter of
        its time at most.
        """
        now = time.monotonic()
        if self._running is not None:
            return max(SOONEST_SECONDS, (now - self._running_since) / 4)
        if self.resting:
            return self._not_before - now
        return 0.0 if self.busy else None

    def start(self, task: Task) -> None:
        """Begin a task; only when not ``busy``."""
        if self._task is not None:
            raise RuntimeError("the writer has a task already")
        self._task = task
        self._dropped.clear()
        self.pump()

    def pump(self) -> None:
        """Run the task again when its time has come."""
        if self._task is None or self._running is not None or self.resting:
            return
        if not self._thread.is_alive():
            self._thread.start()
        self._running = Future()
        self._running_since = time.monotonic()
        self._queue.put((self._task, self.deadline_seconds, self._running))

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Leave partitions out of the task; a call under way is left to the fence."""
        self._dropped.update(partitions)
        if self._running is None:
            self._apply_drops()

    def _apply_drops(self) -> None:
        if self._task is not None and self._dropped:
            self._task.drop(self._dropped)
            self._dropped.clear()
            if self._task.empty:
                self._task = None

    def rest(self, seconds: float) -> None:
        """Start nothing for a while."""
        self._not_before = time.monotonic() + seconds

    def collect(self, timeout: float = 0.0) -> Outcome | None:
        """Return what has finished, waiting at most ``timeout`` seconds for it.

        Raises
        ------
        Exception
            Whatever the task raised that is no unavailable dependency.
        """
        if self._running is None or self._task is None:
            return None
        if timeout > 0:
            wait([self._running], timeout=timeout)
        if not self._running.done():
            return None
        task, future = self._task, self._running
        self._running = None
        try:
            result = future.result()
        except DependencyUnavailable as fault:
            configuration = isinstance(fault, ConfigurationFault)
            self.rest(
                CONFIGURATION_RETRY_SECONDS if configuration else self._backoff.next()
            )
            self._apply_drops()
            return Outcome(task, fault=fault)
        self._task = None
        self._backoff.reset()
        return Outcome(task, result=result)

    def close(self) -> None:
        """Let the thread end after the call under way, and close the store."""
        if not self._thread.is_alive():
            self._store.close()
            return
        self._queue.put(None)
        if self._running is None:
            self._thread.join(CLOSE_SECONDS)
