"""What the pipeline asks of a store, whatever database stands behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.store.anomaly_event import AnomalyEvent
from rtmlops_lib.streams import (
    ColumnBatch,
    PartitionOffset,
    Reason,
    StreamSpec,
    TopicPartition,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BatchTooLarge",
    "Claim",
    "Position",
    "RefusedRow",
    "Snapshot",
    "Store",
    "StoreUnavailable",
    "Takeover",
    "TopicRef",
    "Written",
]


class StoreUnavailable(DependencyUnavailable):
    """The store did not answer in time or closed the connection; try again."""


class BatchTooLarge(StoreUnavailable):
    """The store has no memory for so much in one transaction; half of it may do."""


@dataclass(frozen=True, slots=True)
class TopicRef:
    """A topic as it exists now: recreating it gives a new ``topic_id``."""

    cluster_id: str
    topic_id: str
    topic: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a member knows of a partition before it takes it over.

    Parameters
    ----------
    ref : TopicRef
    initial : int
        Where a group starts that has never read a topic of this name.
    log_start : int
        The first offset that the log holds. A group that knows the topic, or a
        former one of this name, starts a partition without an offset here; one
        whose stored offset lies below goes on here.
    ours : bool
        False for another member's partition. It is not taken over; where the group
        has never read a topic of this name, its start is stored with the others', so
        that whatever comes to it from then on counts as unread.
    """

    ref: TopicRef
    initial: int
    log_start: int
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A service's state of one partition, after all records below ``next_offset``.

    ``age_seconds`` says how long ago it was stored.
    """

    topic_partition: TopicPartition
    next_offset: int
    data: bytes
    age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a member learns when it takes over a partition.

    ``lost`` counts the offsets between what was stored and the log's start; ``state``
    is the group's last snapshot of it, where there is one and it was asked for.
    """

    next_offset: int
    epoch: int
    lost: int = 0
    state: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """The move of one partition's offset that a write makes, or not at all.

    Notes
    -----
    Taught in chapter 04.
    """

    ref: TopicRef
    partition: int
    expected: int
    next_offset: int
    epoch: int

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition that moves."""
        return TopicPartition(self.ref.topic, self.partition)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A valid event that will not be stored: it conflicts, or the store refused it."""

    stream: str
    place: PartitionOffset
    reason: Reason
    detail: str


@dataclass(slots=True)
class Written:
    """What one write did.

    Parameters
    ----------
    rows : dict of str to int
        New rows by stream.
    duplicates : dict of str to int
        Identical repeats, in the batch or against the table, by stream.
    refused : list of RefusedRow
        Rows that were handed to ``before_commit`` and are not stored.
    fenced : frozenset of TopicPartition
        Partitions whose offset had moved or whose epoch is another's. When there is
        one, nothing at all was written.
    """

    rows: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    refused: list[RefusedRow] = field(default_factory=list)
    fenced: frozenset[TopicPartition] = frozenset()

    def add(self, other: Written) -> None:
        """Count what another write did as well.

        Examples
        --------
        >>> both = Written(rows={"services": 2})
        >>> both.add(Written(rows={"services": 1, "datacenter": 5}))
        >>> both.rows
        {'services': 3, 'datacenter': 5}
        """
        for mine, theirs in (
            (self.rows, other.rows),
            (self.duplicates, other.duplicates),
        ):
            for stream, count in theirs.items():
                mine[stream] = mine.get(stream, 0) + count
        self.refused += other.refused
        self.fenced |= other.fenced


class Store(ABC):
    """A place where events end up exactly once.

    ``consistency`` is ``"atomic"`` where rows and offsets move in one transaction,
    ``"idempotent"`` where rows go first, keyed by identity, and offsets after.

    A consume loop calls ``claim``, ``write`` and ``forget`` from its writer thread,
    each bounded by the deadline given; nothing is called from two threads at once.

    Raises
    ------
    StoreUnavailable
        Transient: nothing, or everything, of the call happened. ``write`` settles an
        ambiguous commit itself by reading the offsets again, before it raises.
    ConfigurationFault
        Rights, names, schema or settings are wrong: a human is needed.
    """

    consistency: Literal["atomic", "idempotent"]

    @abstractmethod
    def migrate(self, specs: Sequence[StreamSpec]) -> list[str]:
        """Bring shared tables and the specs' tables up to date; say what was done."""

    @abstractmethod
    def claim(
        self,
        group: str,
        partitions: Mapping[TopicPartition, Takeover],
        *,
        with_state: bool = False,
        deadline_seconds: float = 10.0,
    ) -> dict[TopicPartition, Claim]:
        """Take partitions over: raise their epochs, return where to read on.

        Whoever held an older epoch is fenced from then on. Offsets that the log has
        dropped are skipped and written to ``alerts`` in the same transaction. Of
        partitions that are not ``ours`` nothing is returned.
        """

    def warm(self, batches: Sequence[ColumnBatch]) -> None:
        """Do what a later ``write`` of these batches needs that is no I/O.

        Called on the loop's thread while the writer's waits for the database; what
        it finds out is kept in each batch's ``memo``. Does nothing by default.
        """
        return

    @abstractmethod
    def write(
        self,
        group: str,
        batches: Sequence[ColumnBatch],
        positions: Sequence[Position],
        *,
        snapshots: Sequence[Snapshot] = (),
        anomaly_events: Sequence[AnomalyEvent] = (),
        before_commit: Callable[[Sequence[RefusedRow]], None] | None = None,
        deadline_seconds: float = 10.0,
    ) -> Written:
        """Store events and move offsets, all or nothing.

        Parameters
        ----------
        group : str
            The consumer group whose offsets move.
        batches : sequence of ColumnBatch
            At most one a stream; may be empty (offsets move over markers too).
        positions : sequence of Position
            Every partition that the batches touch, and more if they moved. One whose
            offset stays (``expected == next_offset``) is only held against the fence.
        snapshots : sequence of Snapshot
            States that replace those stored, each of a partition in ``positions``.
        anomaly_events : sequence of AnomalyEvent
            Episodes as they are now; each replaces what is stored of it.
        before_commit : callable, optional
            Called once, before the commit, with the rows that will not be stored;
            what it raises rolls the write back.
        deadline_seconds : float
            Bound on the whole call.
        """

    @abstractmethod
    def offsets(self, group: str | None = None) -> pd.DataFrame:
        """Return ``stream_offsets``, of one group or all."""

    @abstractmethod
    def read(
        self,
        spec: StreamSpec,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return stored events with ``since <= time < until``, ordered by time."""

    @abstractmethod
    def maintain(self, specs: Sequence[StreamSpec]) -> dict[str, int]:
        """Roll up, apply retention; return counts by task. One runs at a time."""

    @abstractmethod
    def close(self) -> None:
        """Close connections; twice is fine."""
