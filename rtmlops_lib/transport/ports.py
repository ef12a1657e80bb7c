"""The two ports through which the library speaks with Kafka.

Each adapter translates one client library; one contract test suite runs over all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rtmlops_lib.streams import RawRecords, TopicPartition

__all__ = ["EventConsumer", "EventProducer", "Polled"]


@dataclass(slots=True)
class Polled:
    """What one poll brought: membership first, then records.

    Parameters
    ----------
    assigned, revoked, lost : frozenset of TopicPartition
        Changes of the assignment since the last poll. ``revoked`` were given up in
        order, ``lost`` were taken away (the session expired); neither may be written
        or committed any more. ``assigned`` are paused until ``resume``. When a
        partition stands in both, revocation came first.
    rebalanced : bool
        True when the group has just settled on an assignment, be it an empty one.
    records : list of RawRecords
        At most one entry a partition, never of a paused or unassigned one.
    positions : dict of TopicPartition to int
        For each partition that is assigned and not paused: the next offset to be
        fetched after ``records``. It also moves over transaction markers, aborted
        records and compacted gaps, without any record.
    out_of_range : dict of TopicPartition to int
        Positions that the log no longer, or not yet, holds. Such a partition brings
        nothing more until ``seek``.
    """

    assigned: frozenset[TopicPartition] = frozenset()
    revoked: frozenset[TopicPartition] = frozenset()
    lost: frozenset[TopicPartition] = frozenset()
    rebalanced: bool = False
    records: list[RawRecords] = field(default_factory=list)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    out_of_range: dict[TopicPartition, int] = field(default_factory=dict)


class EventConsumer(ABC):
    """A member of a consumer group that reads, and is told where to start.

    All methods are called from one thread, the consume loop's. None but
    ``poll_batch`` delivers records, and every one is bounded in time.

    Raises
    ------
    TransportUnavailable
        No broker answers in time; calling again later is right.
    MemberFenced
        Another member took this one's static identity; the process must end.
    ConfigurationFault
        Authentication, authorisation or the topic's name is wrong.

    Notes
    -----
    Taught in chapter 03.
    """

    @abstractmethod
    def poll_batch(self, max_records: int, timeout_seconds: float) -> Polled:
        """Return membership changes and up to ``max_records`` records.

        Keeps the membership alive also when every partition is paused. A broker that
        is away is not an error here: nothing comes until it is back.
        """

    @abstractmethod
    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions currently assigned."""

    @abstractmethod
    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read ``partition`` from ``offset`` on; the partition must be assigned."""

    @abstractmethod
    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver nothing of these until ``resume``; positions stay."""

    @abstractmethod
    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver again."""

    @abstractmethod
    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell Kafka the next offsets, for lag tools only; the store is the truth.

        A rebalance under way makes this a silent no-op.
        """

    @abstractmethod
    def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offset that each log still holds."""

    @abstractmethod
    def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return each log's end (the last stable offset: ``read_committed``)."""

    @abstractmethod
    def offsets_for_time(
        self, partitions: Iterable[TopicPartition], timestamp_ms: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time, the end where there is none."""

    @abstractmethod
    def topic_ids(self) -> dict[str, str]:
        """Return the id of each subscribed topic that exists; asks the broker."""

    @abstractmethod
    def partitions(self) -> frozenset[TopicPartition]:
        """Return every partition of the subscribed topics that exist, whoever reads it.

        Asks the broker: a partition that was just added is there.
        """

    @abstractmethod
    def cluster_id(self) -> str:
        """Return the id of the cluster; asks the broker once."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group and close, within 5 seconds; twice is fine."""


class EventProducer(ABC):
    """Sends records with ``acks=all`` and idempotence.

    ``send`` may be called from one thread, ``flush`` from the same one.
    """

    @abstractmethod
    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Hand one record to the client; waits while its buffer is full."""

    @abstractmethod
    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Return once every record handed over since the last flush is acknowledged.

        Raises
        ------
        DeliveryFailed
            When one was not; which of the others were is unknown.
        """

    @abstractmethod
    def close(self) -> None:
        """Close without waiting for what was never flushed; twice is fine."""
