"""What the writer thread does: claim partitions, write batches."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rtmlops_lib.logs import get_logger
from rtmlops_lib.services.handler import LetterSink
from rtmlops_lib.services.intake import Chunk
from rtmlops_lib.services.partition import OwnedPartition
from rtmlops_lib.services.portion import Portion
from rtmlops_lib.services.prepared import Letter, Prepared
from rtmlops_lib.store import (
    BatchTooLarge,
    Claim,
    Position,
    RefusedRow,
    Snapshot,
    Store,
    Takeover,
    Written,
)
from rtmlops_lib.streams import TopicPartition

__all__ = ["ClaimTask", "Task", "WriteTask"]

log = get_logger(__name__)


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
    """Take partitions over and learn where to read on.

    ``met`` holds what the group meets should it never have read the topic before,
    none of it ``ours``: every partition, unless each starts at its beginning anyway.
    ``with_state`` asks for the group's last snapshots too.
    """

    group: str
    wanted: dict[OwnedPartition, Takeover]
    met: Mapping[TopicPartition, Takeover] = field(default_factory=dict)
    with_state: bool = False

    def run(
        self, store: Store, deadline_seconds: float
    ) -> Mapping[TopicPartition, Claim]:
        """Return the store's answer for each partition."""
        ours = {owned.tp: takeover for owned, takeover in self.wanted.items()}
        return store.claim(
            self.group,
            {**self.met, **ours},
            with_state=self.with_state,
            deadline_seconds=deadline_seconds,
        )

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Do not claim these any more."""
        self.wanted = {o: t for o, t in self.wanted.items() if o.tp not in partitions}

    @property
    def empty(self) -> bool:
        """Whether every partition was dropped."""
        return not self.wanted


@dataclass
class WriteTask(Task):
    """Store a batch and move its offsets; dead letters go out before the commit.

    All of it is one transaction, unless the database has no memory for so much at
    once: then halves of it, each as whole as the batch would have been.
    """

    group: str
    chunks: list[Chunk]
    prepared: Prepared
    moves: dict[OwnedPartition, Position]
    sink: LetterSink | None
    since: float = field(default_factory=time.monotonic)
    snapshots: tuple[Snapshot, ...] = ()

    def __post_init__(self) -> None:
        self._todo = [Portion(self.prepared, self.moves, self.snapshots)]
        self._done = Written()

    def run(self, store: Store, deadline_seconds: float) -> Written:
        """Write it; what a former run has written is not written again."""
        deadline = time.monotonic() + deadline_seconds
        while self._todo:
            portion = self._todo[0]
            left = max(0.001, deadline - time.monotonic())
            try:
                written = self._write(store, portion, left)
            except BatchTooLarge as error:
                halves = portion.halves()
                if halves is None:
                    raise
                log.warning("batch_halved", reason=str(error))
                self._todo[:1] = halves
                continue
            if written.fenced:
                return written
            self._done.add(written)
            del self._todo[0]
        return self._done

    def _write(self, store: Store, portion: Portion, seconds: float) -> Written:
        def send_letters(refused: Sequence[RefusedRow]) -> None:
            # Of one record several rows may come: it is one letter.
            places = {row.place: row for row in reversed(refused)}
            letters = [*portion.prepared.letters, *map(self._letter, places.values())]
            if letters and self.sink is not None:
                refs = {move.ref.topic: move.ref for move in portion.moves.values()}
                self.sink.send(letters, refs)

        return store.write(
            self.group,
            portion.prepared.batches,
            list(portion.moves.values()),
            snapshots=portion.snapshots,
            anomaly_events=[
                event
                for told in portion.prepared.anomaly_events.values()
                for event in told
            ],
            before_commit=send_letters,
            deadline_seconds=seconds,
        )

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
        whole = Portion(self.prepared, self.moves, self.snapshots).without(partitions)
        self.prepared, self.moves = whole.prepared, dict(whole.moves)
        self.snapshots = whole.snapshots
        self.chunks = [chunk for chunk in self.chunks if chunk.tp not in partitions]
        left = [portion.without(partitions) for portion in self._todo]
        self._todo = [portion for portion in left if portion.moves]

    @property
    def empty(self) -> bool:
        """Whether every partition was dropped."""
        return not self.moves
