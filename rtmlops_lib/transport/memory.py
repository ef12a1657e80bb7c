"""A broker in memory, behind the same two ports, that misbehaves when told to."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.streams import TopicPartition

if TYPE_CHECKING:
    from rtmlops_lib.transport.memory_consumer import MemoryConsumer
    from rtmlops_lib.transport.memory_producer import MemoryProducer

__all__ = ["MemoryBroker", "MemoryLog", "MemoryRecord"]

Headers = tuple[tuple[str, bytes], ...]


class MemoryRecord(NamedTuple):
    """One record of a log."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class MemoryLog:
    """One partition: its records, and the offsets between which it holds any."""

    records: list[MemoryRecord] = field(default_factory=list)
    start: int = 0
    end: int = 0


@dataclass(slots=True)
class _Topic:
    id: str
    logs: list[MemoryLog]
    max_message_bytes: int


class MemoryBroker:
    """Topics, groups and faults, for as many members and threads as a test needs.

    Faults: ``fail_deliveries``, ``lose_session``, ``rebalance``, ``go_away``,
    ``fence``, ``rewind`` and, as a broker would, ``delete_topic`` and
    ``delete_records``.

    Examples
    --------
    >>> broker = MemoryBroker()
    >>> broker.create_topic("trips", partitions=1)
    >>> broker.producer().send("trips", b"{}")
    >>> consumer = broker.consumer(group="storage", topics=["trips"])
    >>> sorted(consumer.poll_batch(10, 0).assigned)
    [TopicPartition(topic='trips', partition=0)]
    """

    def __init__(self) -> None:
        self.cluster_id = uuid.uuid4().hex
        self.available = True
        self.committed: dict[tuple[str, TopicPartition], int] = {}
        self.lock = threading.RLock()
        self.topics: dict[str, _Topic] = {}
        self._members: dict[str, list[MemoryConsumer]] = {}
        self._spread = itertools.count()
        self._failing = 0

    def create_topic(
        self, topic: str, *, partitions: int = 1, max_message_bytes: int = 1_048_588
    ) -> None:
        """Create a topic, with an id of its own."""
        with self.lock:
            logs = [MemoryLog() for _ in range(partitions)]
            self.topics[topic] = _Topic(uuid.uuid4().hex, logs, max_message_bytes)
            self._rebalance_readers(topic)

    def add_partitions(self, topic: str, count: int) -> None:
        """Let a topic have more partitions; its readers share them out anew."""
        with self.lock:
            self.topics[topic].logs += [MemoryLog() for _ in range(count)]
            self._rebalance_readers(topic)

    def delete_topic(self, topic: str) -> None:
        """Delete a topic with all its records."""
        with self.lock:
            del self.topics[topic]
            self._rebalance_readers(topic)

    def recreate_topic(self, topic: str) -> None:
        """Delete a topic and create it again before any member notices."""
        with self.lock:
            old = self.topics[topic]
            self.topics[topic] = _Topic(
                uuid.uuid4().hex, [MemoryLog() for _ in old.logs], old.max_message_bytes
            )

    def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Move the start of each log up to an offset."""
        with self.lock:
            for partition, offset in before.items():
                log = self.log(partition)
                log.start = max(log.start, min(offset, log.end))
                log.records = [r for r in log.records if r.offset >= log.start]

    def skip_offsets(self, partition: TopicPartition, count: int = 1) -> None:
        """Use up offsets without a record, as markers and aborted records do."""
        with self.lock:
            self.log(partition).end += count

    def fail_deliveries(self, count: int = 1) -> None:
        """Let the next ``count`` records not be acknowledged."""
        self._failing = count

    def go_away(self) -> None:
        """Answer nobody until ``come_back``."""
        self.available = False

    def come_back(self) -> None:
        """Answer again."""
        self.available = True

    def rebalance(self, group: str, *, lost: bool = False) -> None:
        """Share the partitions of a group out anew among its members."""
        with self.lock:
            members = self._members.get(group, [])
            for member in members:
                member.take_away(lost=lost)
            for topic in sorted({t for m in members for t in m.topics}):
                readers = [m for m in members if topic in m.topics]
                logs = self.topics[topic].logs if topic in self.topics else []
                for partition in range(len(logs)):
                    reader = readers[partition * len(readers) // len(logs)]
                    reader.grant.append(TopicPartition(topic, partition))
            for member in members:
                member.settle()

    def join(self, member: MemoryConsumer) -> None:
        """Take a member into its group; a static identity in use is taken over."""
        with self.lock:
            members = self._members.setdefault(member.group, [])
            identity = member.group_instance_id
            for other in list(members):
                if identity is not None and other.group_instance_id == identity:
                    other.fenced = True
                    members.remove(other)
            members.append(member)
            self.rebalance(member.group)

    def leave(self, member: MemoryConsumer) -> None:
        """Let a member go."""
        with self.lock:
            members = self._members.get(member.group, [])
            if member in members:
                members.remove(member)
                self.rebalance(member.group)

    def log(self, partition: TopicPartition) -> MemoryLog:
        """Return one partition's log.

        Raises
        ------
        ConfigurationFault
            When there is no such partition.
        """
        try:
            return self.topics[partition.topic].logs[partition.partition]
        except (KeyError, IndexError):
            raise ConfigurationFault(f"there is no partition {partition}") from None

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Headers,
        partition: int | None,
        timestamp_ms: int | None,
    ) -> str | None:
        """Store one record; return why not, where it is refused."""
        with self.lock:
            if self._failing > 0:
                self._failing -= 1
                return "told to fail"
            if topic not in self.topics:
                return f"there is no topic {topic!r}"
            found = self.topics[topic]
            size = len(value or b"") + len(key or b"")
            if size > found.max_message_bytes:
                return f"{size} bytes are more than {found.max_message_bytes}"
            if partition is None:
                spread = next(self._spread) if key is None else sum(key)
                partition = spread % len(found.logs)
            log = found.logs[partition]
            at = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
            log.records.append(MemoryRecord(log.end, at, key, value, headers))
            log.end += 1
            return None

    def consumer(
        self,
        *,
        group: str,
        topics: Sequence[str],
        group_instance_id: str | None = None,
    ) -> MemoryConsumer:
        """Return a new member of a group."""
        from rtmlops_lib.transport.memory_consumer import MemoryConsumer

        return MemoryConsumer(
            self, group=group, topics=topics, group_instance_id=group_instance_id
        )

    def producer(self) -> MemoryProducer:
        """Return a new producer."""
        from rtmlops_lib.transport.memory_producer import MemoryProducer

        return MemoryProducer(self)

    def _rebalance_readers(self, topic: str) -> None:
        for group, members in self._members.items():
            if any(topic in member.topics for member in members):
                self.rebalance(group)
