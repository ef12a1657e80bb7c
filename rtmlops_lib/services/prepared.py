"""What a service makes of the records in hand, on its way to the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtmlops_lib.streams import ColumnBatch, RawRecords, Reason, TopicPartition

__all__ = ["Letter", "Prepared"]


@dataclass(frozen=True, slots=True)
class Letter:
    """A record on its way to the dead letters, and why."""

    stream: str
    raw: RawRecords
    index: int
    reason: Reason
    detail: str

    @property
    def tp(self) -> TopicPartition:
        """The partition it came from."""
        return TopicPartition(self.raw.topic, self.raw.partition)


@dataclass(slots=True)
class Prepared:
    """What shall be written: rows, at most one batch a stream, and dead letters."""

    batches: list[ColumnBatch] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
