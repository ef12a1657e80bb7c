"""The consumer's port over a broker in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from rtmlops_lib.errors import UsageError
from rtmlops_lib.streams import RawRecords, TopicPartition
from rtmlops_lib.transport._membership import MembershipLog
from rtmlops_lib.transport.errors import MemberFenced, TransportUnavailable
from rtmlops_lib.transport.memory import MemoryBroker, MemoryLog, MemoryRecord
from rtmlops_lib.transport.ports import EventConsumer, Polled

__all__ = ["MemoryConsumer"]


class MemoryConsumer(EventConsumer):
    """A group member on a ``MemoryBroker``; joins at its first poll."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        group: str,
        topics: Sequence[str],
        group_instance_id: str | None = None,
    ) -> None:
        self.broker = broker
        self.group = group
        self.topics = tuple(topics)
        self.group_instance_id = group_instance_id
        self.fenced = False
        self.grant: list[TopicPartition] = []
        self.rewound: dict[TopicPartition, int] = {}
        self._membership = MembershipLog()
        self._mine: set[TopicPartition] = set()
        self._placed: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._reported: set[TopicPartition] = set()
        self._joined = False
        self._closed = False

    def lose_session(self) -> None:
        """Lose every partition as an expired session does; join again by polling."""
        with self.broker.lock:
            self.take_away(lost=True)
            self.broker.leave(self)
            self._joined = False

    def rewind(self, partition: TopicPartition, offset: int) -> None:
        """Break the contract: deliver next from a position nobody asked for."""
        self.rewound[partition] = offset

    def take_away(self, *, lost: bool) -> None:
        """Let the broker revoke everything."""
        self._membership.revoke(self._mine, lost=lost)
        for partition in self._mine:
            self._placed.pop(partition, None)
        self._mine.clear()
        self.grant.clear()

    def settle(self) -> None:
        """Let the broker finish a rebalance."""
        self._mine.update(self.grant)
        self._paused.update(self.grant)
        self._membership.assign(self.grant)
        self.grant = []

    def poll_batch(self, max_records: int, timeout_seconds: float) -> Polled:
        """Return membership changes and up to ``max_records`` records."""
        self._check()
        deadline = time.monotonic() + timeout_seconds
        while True:
            polled = Polled()
            with self.broker.lock:
                if self.broker.available:
                    if not self._joined:
                        self._joined = True
                        self.broker.join(self)
                    changed = self._membership.drain(polled)
                    self._fetch(polled, max_records)
                    if changed or polled.records or polled.out_of_range:
                        return polled
            left = deadline - time.monotonic()
            if left <= 0:
                return polled
            time.sleep(min(left, 0.01))

    def _fetch(self, polled: Polled, max_records: int) -> None:
        for partition in sorted(self._placed):
            if partition in self._paused:
                continue
            if partition.topic not in self.broker.topics:
                polled.positions[partition] = self._placed[partition]
                continue
            log = self.broker.log(partition)
            at = self._placed[partition]
            if not log.start <= at <= log.end:
                if partition not in self._reported:
                    self._reported.add(partition)
                    polled.out_of_range[partition] = at
                continue
            at = self.rewound.pop(partition, at)
            found = [r for r in log.records if r.offset >= at][:max_records]
            if found:
                max_records -= len(found)
                polled.records.append(_columns(partition, found))
            rest = log.records[-1].offset if log.records else -1
            last = found[-1].offset if found else at - 1
            # Past the last record only offsets without one remain.
            at = log.end if last >= rest or not found else last + 1
            self._placed[partition] = polled.positions[partition] = at
            if max_records <= 0:
                for other in self._placed.keys() - polled.positions.keys():
                    if other not in self._paused | self._reported:
                        polled.positions[other] = self._placed[other]
                return

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions currently assigned."""
        return self._membership.owned

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read ``partition`` from ``offset`` on; the partition must be assigned."""
        self._check()
        if partition not in self._membership.owned or offset < 0:
            raise UsageError(f"cannot seek {partition} to {offset}")
        if partition in self._mine:
            self._placed[partition] = offset
            self._reported.discard(partition)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver nothing of these until ``resume``; positions stay."""
        self._paused.update(self._membership.owned.intersection(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver again, from where ``seek`` last said."""
        self._paused -= self._membership.owned.intersection(partitions) & self._mine

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell the broker the next offsets."""
        self._check()
        if self.fenced:
            raise MemberFenced("another member uses this one's group instance id")
        self._ask()
        for partition, offset in offsets.items():
            if partition in self._mine:
                self.broker.committed[self.group, partition] = offset

    def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offset that each log still holds."""
        return self._of_each(partitions, lambda log: log.start)

    def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return each log's end."""
        return self._of_each(partitions, lambda log: log.end)

    def offsets_for_time(
        self, partitions: Iterable[TopicPartition], timestamp_ms: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time, the end where there is none."""
        return self._of_each(
            partitions,
            lambda log: next(
                (r.offset for r in log.records if r.timestamp_ms >= timestamp_ms),
                log.end,
            ),
        )

    def topic_ids(self) -> dict[str, str]:
        """Return the id of each subscribed topic that exists."""
        self._ask()
        found = self.broker.topics
        return {name: found[name].id for name in self.topics if name in found}

    def partitions(self) -> frozenset[TopicPartition]:
        """Return every partition of the subscribed topics that exist."""
        self._ask()
        with self.broker.lock:
            return frozenset(
                TopicPartition(name, number)
                for name in self.topics
                if name in self.broker.topics
                for number in range(len(self.broker.topics[name].logs))
            )

    def cluster_id(self) -> str:
        """Return the id of the cluster."""
        self._ask()
        return self.broker.cluster_id

    def close(self) -> None:
        """Leave the group and close; twice is fine."""
        if not self._closed:
            self._closed = True
            self.broker.leave(self)

    def _of_each(
        self, partitions: Iterable[TopicPartition], offset: Callable[[MemoryLog], int]
    ) -> dict[TopicPartition, int]:
        self._ask()
        with self.broker.lock:
            return {p: offset(self.broker.log(p)) for p in partitions}

    def _ask(self) -> None:
        self._check()
        if not self.broker.available:
            raise TransportUnavailable("the broker was told to be away")

    def _check(self) -> None:
        if self._closed:
            raise TransportUnavailable("the consumer is closed", remedy="open another")


def _columns(partition: TopicPartition, records: list[MemoryRecord]) -> RawRecords:
    offsets, timestamps, keys, values, headers = map(list, zip(*records, strict=True))
    return RawRecords(*partition, offsets, timestamps, keys, values, headers)
