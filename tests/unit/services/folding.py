"""A handler whose every row depends on all records before it, in their order."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Sequence

import numpy as np

from rtmlops_lib.errors import UsageError
from rtmlops_lib.services.handler import StatefulHandler
from rtmlops_lib.services.intake import Chunk
from rtmlops_lib.services.prepared import Prepared
from rtmlops_lib.store import AnomalyEvent
from rtmlops_lib.streams import ColumnBatch, TopicPartition, anomaly_spec
from tests.unit.services.conftest import SPEC

TABLE = anomaly_spec(SPEC)


def fold(state: int, values: np.ndarray) -> list[int]:
    """Return the state after each value; each changes all that follow."""
    states = []
    for value in values.tolist():
        state = zlib.crc32(struct.pack("<Id", state, value))
        states.append(state)
    return states


class Folding(StatefulHandler):
    """Scores each event by a checksum of the partition up to it.

    Every tenth checksum tells of an episode.
    """

    history_records = 10_000

    def __init__(self) -> None:
        self.state: dict[TopicPartition, int] = {}
        self.learned = 0
        self.restored = 0

    def _take(self, tp: TopicPartition, events: ColumnBatch) -> list[int]:
        states = fold(self.state.get(tp, 0), events.columns["cpu_usage"])
        if states:
            self.state[tp] = states[-1]
        return states

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        for chunk in chunks:
            if chunk.made is None:
                chunk.made = self._rows(chunk)
        prepared = Prepared(
            batches=[rows for chunk in chunks if len(rows := chunk.made[0])]
        )
        if prepared.batches:
            prepared.batches = [ColumnBatch.concat(prepared.batches)]
        for chunk in chunks:
            prepared.anomaly_events.setdefault(chunk.tp, []).extend(chunk.made[1])
        return prepared

    def _rows(self, chunk: Chunk) -> tuple[ColumnBatch, list[AnomalyEvent]]:
        events = chunk.decoded.batch
        states = self._take(chunk.tp, events)
        same = {"stream": SPEC.name, "detector": "fold", "severity": "low"}
        rows = ColumnBatch(
            spec=TABLE,
            time=events.time,
            columns={
                "server_id": events.columns["server_id"],
                **{n: np.full(len(events), v, object) for n, v in same.items()},
                **{
                    name: np.full(len(events), None, object)
                    for name in ("model_version", "metric", "witnesses")
                },
                "score": np.array(states, np.float64),
                "flagged": np.zeros(len(events), np.bool_),
            },
            partition=events.partition,
            offset=events.offset,
        )
        told = [
            AnomalyEvent(
                SPEC.name,
                {"server_id": f"{chunk.tp.partition}"},
                "fold",
                state,
                *[int(at)] * 3,
                float(state),
                "low",
                None,
                "",
                "open",
                1,
            )
            for at, state in zip(events.time, states, strict=True)
            if state % 10 == 0
        ]
        return rows, told

    def restore(self, tp: TopicPartition, data: bytes) -> None:
        if len(data) != 4:
            raise UsageError("it is damaged")
        (self.state[tp],) = struct.unpack("<I", data)
        self.restored += 1

    def learn(self, chunk: Chunk) -> None:
        self.learned += len(self._take(chunk.tp, chunk.decoded.batch))

    def snapshot(self, tp: TopicPartition) -> bytes | None:
        return struct.pack("<I", self.state[tp]) if tp in self.state else None

    def dropped(self, partitions: Collection[TopicPartition]) -> None:
        for tp in partitions:
            self.state.pop(tp, None)
