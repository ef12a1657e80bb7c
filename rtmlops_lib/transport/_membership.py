"""Changes of an assignment, gathered in the client's callbacks until the next poll."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport.ports import Polled

__all__ = ["MembershipLog"]


class MembershipLog:
    """Collects what a client's callbacks report and hands it over as one change.

    Callbacks may run on another thread than ``drain``'s.

    Examples
    --------
    >>> log = MembershipLog()
    >>> log.assign([TopicPartition("trips", 0)])
    >>> polled = Polled()
    >>> log.drain(polled)
    True
    >>> polled.rebalanced, sorted(polled.assigned)
    (True, [TopicPartition(topic='trips', partition=0)])
    """

    def __init__(self) -> None:
        self.owned: frozenset[TopicPartition] = frozenset()
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._assigned: set[TopicPartition] = set()
        self._revoked: set[TopicPartition] = set()
        self._lost: set[TopicPartition] = set()
        self._settled = False
        self._changed = False

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Note a new assignment, be it empty."""
        with self._lock:
            self._assigned.update(partitions)
            self._settled = self._changed = True

    def revoke(self, partitions: Iterable[TopicPartition], *, lost: bool) -> None:
        """Note partitions given up, or lost."""
        with self._lock:
            for partition in partitions:
                if partition in self._assigned:
                    # Came and went between two polls: the caller never had it.
                    self._assigned.discard(partition)
                elif partition not in self._revoked | self._lost:
                    (self._lost if lost else self._revoked).add(partition)
                self._changed = True
            self._settled = False

    def drain(self, polled: Polled) -> bool:
        """Move what was noted into ``polled``; say whether there was anything."""
        if not self._changed:
            return False
        with self._lock:
            polled.assigned = frozenset(self._assigned)
            polled.revoked = frozenset(self._revoked)
            polled.lost = frozenset(self._lost)
            polled.rebalanced = self._settled
            self.owned = (self.owned - polled.revoked - polled.lost) | polled.assigned
            self._reset()
        return True
