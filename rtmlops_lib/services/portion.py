"""Some of a batch's records: what one transaction writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.services.partition import OwnedPartition
from rtmlops_lib.services.prepared import Letter, Prepared
from rtmlops_lib.store import Position, Snapshot
from rtmlops_lib.streams import ColumnBatch, TopicPartition

__all__ = ["Portion"]


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows and dead letters with the moves of the offsets that cover them.

    Parameters
    ----------
    prepared : Prepared
    moves : mapping of OwnedPartition to Position
    snapshots : tuple of Snapshot
        States after the last of these records.
    """

    prepared: Prepared
    moves: Mapping[OwnedPartition, Position]
    snapshots: tuple[Snapshot, ...] = ()

    def without(self, partitions: Collection[TopicPartition]) -> Portion:
        """Return what came from other partitions."""
        prepared = Prepared(
            batches=[
                kept
                for batch in self.prepared.batches
                if len(kept := _without(batch, partitions))
            ],
            letters=[x for x in self.prepared.letters if x.tp not in partitions],
            skipped=[x for x in self.prepared.skipped if x.tp not in partitions],
            anomaly_events={
                tp: told
                for tp, told in self.prepared.anomaly_events.items()
                if tp not in partitions
            },
        )
        return Portion(
            prepared,
            {o: p for o, p in self.moves.items() if o.tp not in partitions},
            tuple(x for x in self.snapshots if x.topic_partition not in partitions),
        )

    def halves(self) -> tuple[Portion, Portion] | None:
        """Return the first and the second half of each partition's records.

        A snapshot goes with its partition's last records. Episodes go with the first,
        ahead of the rest: should that never be written, whoever reads it anew tells of
        them again, but of what is stored nobody would.

        Returns None where no partition has two records.
        """
        cuts = {
            move.topic_partition: offsets[len(offsets) // 2]
            for move in self.moves.values()
            if len(offsets := self._offsets(move.topic_partition)) > 1
        }
        if not cuts:
            return None
        first, second = {}, {}
        for owned, move in self.moves.items():
            cut = cuts.get(move.topic_partition)
            if cut is None:
                first[owned] = move
            else:
                first[owned] = replace(move, next_offset=cut)
                second[owned] = replace(move, expected=cut)
        early = [x for x in self.snapshots if x.topic_partition not in cuts]
        late = [x for x in self.snapshots if x.topic_partition in cuts]
        return (
            Portion(self._part(cuts, later=False), first, tuple(early)),
            Portion(self._part(cuts, later=True), second, tuple(late)),
        )

    def _offsets(self, tp: TopicPartition) -> list[int]:
        found = [x.raw.offsets[x.index] for x in self.prepared.letters if x.tp == tp]
        for batch in self.prepared.batches:
            if batch.spec.topic == tp.topic:
                found += batch.offset[batch.partition == tp.partition].tolist()
        return sorted(found)

    def _part(self, cuts: Mapping[TopicPartition, int], *, later: bool) -> Prepared:
        def is_later(letter: Letter) -> bool:
            cut = cuts.get(letter.tp)
            return cut is not None and letter.raw.offsets[letter.index] >= cut

        return Prepared(
            batches=[
                part
                for batch in self.prepared.batches
                if len(part := batch.take(_later(batch, cuts) == later))
            ],
            letters=[x for x in self.prepared.letters if is_later(x) == later],
            anomaly_events={} if later else self.prepared.anomaly_events,
        )


def _later(batch: ColumnBatch, cuts: Mapping[TopicPartition, int]) -> NDArray[np.bool_]:
    later = np.zeros(len(batch), np.bool_)
    for tp, cut in cuts.items():
        if tp.topic == batch.spec.topic:
            later |= (batch.partition == tp.partition) & (batch.offset >= cut)
    return later


def _without(batch: ColumnBatch, partitions: Collection[TopicPartition]) -> ColumnBatch:
    gone = [tp.partition for tp in partitions if tp.topic == batch.spec.topic]
    return batch.take(~np.isin(batch.partition, gone)) if gone else batch
