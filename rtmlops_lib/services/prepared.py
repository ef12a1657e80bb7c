"""What a service makes of the records in hand, on its way to the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtmlops_lib.store import AnomalyEvent
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
    """What shall be written.

    Parameters
    ----------
    batches : list of ColumnBatch
        Rows, at most one batch a stream.
    letters : list of Letter
        Records to be sent to the dead letters.
    skipped : list of Letter
        Records that are only counted: another service makes dead letters of them.
    anomaly_events : dict of TopicPartition to list of AnomalyEvent
        Episodes that changed, by the partition whose records changed them.
    """

    batches: list[ColumnBatch] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    skipped: list[Letter] = field(default_factory=list)
    anomaly_events: dict[TopicPartition, list[AnomalyEvent]] = field(
        default_factory=dict
    )
