"""A store in memory that fails when told to: the contract, and nothing else."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.store import (
    AnomalyEvent,
    BatchTooLarge,
    Claim,
    Position,
    RefusedRow,
    Snapshot,
    Store,
    StoreUnavailable,
    Takeover,
    Written,
)
from rtmlops_lib.streams import (
    ColumnBatch,
    PartitionOffset,
    Reason,
    StreamSpec,
    TopicPartition,
)
from tests.support.sameness import same_content


class MemoryDatabase:
    """What survives a store's connection: rows and positions, shared by stores."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.rows: dict[tuple[Any, ...], tuple[ColumnBatch, int]] = {}
        self.offsets: dict[tuple[str, str, TopicPartition], list[int]] = {}
        self.states: dict[tuple[str, str, TopicPartition], tuple[Snapshot, float]] = {}
        self.anomaly_events: dict[tuple[Any, ...], AnomalyEvent] = {}
        self.lost = 0


class MemoryStore(Store):
    """Atomic as the contract asks.

    Parameters
    ----------
    database : MemoryDatabase
    seed : int, optional
        With one, calls fail at random: before anything happened, or after all of it
        did (a commit whose answer was lost).
    """

    consistency = "atomic"

    def __init__(self, database: MemoryDatabase, *, seed: int | None = None) -> None:
        self.database = database
        self.failing = seed is not None
        # A write of more rows finds no memory.
        self.largest: int | None = None
        self.misconfigured = False
        self.closed_by: str | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._random = random.Random(seed)

    def _maybe_fail(self) -> None:
        if self.failing and self._random.random() < 0.3:
            raise StoreUnavailable("the connection broke")

    def claim(
        self,
        group: str,
        partitions: Mapping[TopicPartition, Takeover],
        *,
        with_state: bool = False,
        deadline_seconds: float = 10.0,
    ) -> dict[TopicPartition, Claim]:
        self._maybe_fail()
        if self.misconfigured:
            raise ConfigurationFault("no such table", remedy="run 'rtmlops db migrate'")
        claims = {}
        with self.database.lock:
            offsets = self.database.offsets
            met = {tp.topic for g, _, tp in offsets if g == group}
            for tp, takeover in partitions.items():
                key = (group, takeover.ref.topic_id, tp)
                if tp.topic not in met:
                    offsets[key] = [max(takeover.initial, takeover.log_start), 0]
                if not takeover.ours:
                    continue
                known = offsets.setdefault(key, [takeover.log_start, 0])
                lost = max(0, takeover.log_start - known[0])
                self.database.lost += lost
                known[0] += lost
                known[1] += 1
                state = None
                if with_state and key in self.database.states:
                    snapshot, at = self.database.states[key]
                    state = replace(snapshot, age_seconds=time.monotonic() - at)
                claims[tp] = Claim(known[0], known[1], lost, state)
        self._maybe_fail()
        return claims

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
        if not self.gate.wait(deadline_seconds):
            raise StoreUnavailable("stalled")
        self._maybe_fail()
        if self.misconfigured:
            raise ConfigurationFault("no such table", remedy="run 'rtmlops db migrate'")
        rows = sum(map(len, batches))
        if self.largest is not None and rows > self.largest:
            raise BatchTooLarge(f"no memory for {rows} rows")
        with self.database.lock:
            fenced = {
                p.topic_partition
                for p in positions
                if self.database.offsets.get((group, p.ref.topic_id, p.topic_partition))
                != [p.expected, p.epoch]
            }
            if fenced:
                return Written(fenced=frozenset(fenced))
            written, fresh = Written(), {}
            for batch in batches:
                self._sort_out(batch, written, fresh)
            if before_commit is not None:
                before_commit(written.refused)
            self.database.rows.update(fresh)
            for p in positions:
                key = (group, p.ref.topic_id, p.topic_partition)
                self.database.offsets[key][0] = p.next_offset
            refs = {p.topic_partition: p.ref.topic_id for p in positions}
            for one in snapshots:
                key = (group, refs[one.topic_partition], one.topic_partition)
                self.database.states[key] = (one, time.monotonic())
            for told in anomaly_events:
                name = (told.stream, told.series_key, told.detector, told.started_at)
                self.database.anomaly_events[name] = told
        self._maybe_fail()
        return written

    def _sort_out(
        self,
        batch: ColumnBatch,
        written: Written,
        fresh: dict[tuple[Any, ...], tuple[ColumnBatch, int]],
    ) -> None:
        name = batch.spec.name
        for index, identity in enumerate(batch.identities()):
            key = (name, *identity)
            former = self.database.rows.get(key) or fresh.get(key)
            if former is None:
                fresh[key] = (batch, index)
                written.rows[name] = written.rows.get(name, 0) + 1
            elif batch.spec.derived or same_content(*former, batch, index):
                written.duplicates[name] = written.duplicates.get(name, 0) + 1
            else:
                place = PartitionOffset(
                    batch.spec.topic,
                    int(batch.partition[index]),
                    int(batch.offset[index]),
                )
                written.refused.append(
                    RefusedRow(name, place, Reason.CONFLICT, "another came first")
                )

    def migrate(self, specs: Sequence[StreamSpec]) -> list[str]:
        return []

    def offsets(self, group: str | None = None) -> Any:
        raise NotImplementedError

    def read(self, spec: StreamSpec, **_: Any) -> Any:
        raise NotImplementedError

    def maintain(self, specs: Sequence[StreamSpec]) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self.closed_by = threading.current_thread().name
