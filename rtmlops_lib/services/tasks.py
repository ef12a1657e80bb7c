"""What the writer thread does: claim partitions, write batches."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rtmlops_lib.services.handler import LetterSink
from rtmlops_lib.services.intake import Chunk
from rtmlops_lib.services.partition import OwnedPartition
from rtmlops_lib.services.prepared import Letter, Prepared
from rtmlops_lib.store import (
    Claim,
    Position,
    RefusedRow,
    Store,
    Takeover,
    Written,
)
from rtmlops_lib.streams import ColumnBatch, TopicPartition

__all__ = ["ClaimTask", "Task", "WriteTask"]


class Task(ABC):
    """One job for the writer thread, repeated until it succeeds or is dropped.

    ``run`` is called on the writer thread; everything else on the loop's, and never
    while ``run`` is under way.
    """

    @abstractmethod
    def run(self, store: Store, deadline_seconds: float) -> object:
        """Do it; what it raises decides whether and when it is tried again."""

    @abstractmethod
    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Leave out what belongs to these partitions from the next run on."""

    @property
    @abstractmethod
    def empty(self) -> bool:
        """Whether nothing is left to do."""


@dataclass
class ClaimTask(Task):
    """Take partitions over and learn where to read on."""

    group: str
    wanted: dict[OwnedPartition, Takeover]

    def run(
        self, store: Store, deadline_seconds: float
    ) -> Mapping[TopicPartition, Claim]:
        """Return the store's answer for each partition."""
        takeovers = {owned.tp: takeover for owned, takeover in self.wanted.items()}
        return store.claim(self.group, takeovers, deadline_seconds=deadline_seconds)

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Do not claim these any more."""
        self.wanted = {o: t for o, t in self.wanted.items() if o.tp not in partitions}

    @property
    def empty(self) -> bool:
        """Whether every partition was dropped."""
        return not self.wanted


@dataclass
class WriteTask(Task):
    """Store a batch and move its offsets; dead letters go out before the commit."""

    group: str
    chunks: list[Chunk]
    prepared: Prepared
    moves: dict[OwnedPartition, Position]
    sink: LetterSink | None
    since: float = field(default_factory=time.monotonic)

    def run(self, store: Store, deadline_seconds: float) -> Written:
        """Write it; on any exception nothing was, or the store has settled it."""
        return store.write(
            self.group,
            self.prepared.batches,
            list(self.moves.values()),
            before_commit=self._send_letters,
            deadline_seconds=deadline_seconds,
        )

    def _send_letters(self, refused: Sequence[RefusedRow]) -> None:
        letters = [*self.prepared.letters, *(self._letter(row) for row in refused)]
        if letters and self.sink is not None:
            refs = {move.ref.topic: move.ref for move in self.moves.values()}
            self.sink.send(letters, refs)

    def _letter(self, row: RefusedRow) -> Letter:
        for chunk in self.chunks:
            if chunk.tp == (row.place.topic, row.place.partition):
                offsets = chunk.raw.offsets
                if offsets[0] <= row.place.offset <= offsets[-1]:
                    return Letter(
                        stream=row.stream,
                        raw=chunk.raw,
                        index=offsets.index(row.place.offset),
                        reason=row.reason,
                        detail=row.detail,
                    )
        raise LookupError(f"the store refused {row.place}, which it was not given")

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Leave out what came from these partitions."""
        self.moves = {o: p for o, p in self.moves.items() if o.tp not in partitions}
        self.chunks = [chunk for chunk in self.chunks if chunk.tp not in partitions]
        self.prepared = Prepared(
            batches=[
                kept
                for batch in self.prepared.batches
                if len(kept := _without(batch, partitions))
            ],
            letters=[
                letter
                for letter in self.prepared.letters
                if letter.tp not in partitions
            ],
        )

    @property
    def empty(self) -> bool:
        """Whether every partition was dropped."""
        return not self.moves


def _without(batch: ColumnBatch, partitions: Collection[TopicPartition]) -> ColumnBatch:
    gone = [tp.partition for tp in partitions if tp.topic == batch.spec.topic]
    if not gone:
        return batch
    keep = batch.partition != gone[0]
    for partition in gone[1:]:
        keep &= batch.partition != partition
    return batch.take(keep)
