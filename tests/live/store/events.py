"""A migrated store and events to put into it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
import psycopg2
import psycopg2.errors

from rtmlops_lib.store import Position, Takeover, TopicRef
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import ColumnBatch, StreamSpec, TopicPartition, builtin_specs

SPEC = builtin_specs()["datacenter"]
GROUP = "storage"
START_US = 1_760_000_000_000_000  # 2025-10-09T08:53:20Z
SECOND_US = 1_000_000


def events(
    steps: Sequence[int] | np.ndarray,
    *,
    servers: Sequence[int] | np.ndarray | int = 0,
    partition: int = 0,
    first_offset: int = 0,
    spec: StreamSpec = SPEC,
    attributes: str | None = None,
    **values: float,
) -> ColumnBatch:
    """One event a step (of 10 s) and server; the same call, the same events."""
    steps = np.asarray(steps, np.int64)
    servers = np.broadcast_to(np.asarray(servers), steps.shape)
    columns: dict[str, Any] = {}
    for index, name in enumerate(spec.fields):
        if name == "server_id":
            columns[name] = np.array([f"srv-{s:03d}" for s in servers], object)
        elif spec.fields[name].required:
            columns[name] = (steps * 7 + servers * 3 + index) % 97 * 0.5
        else:
            columns[name] = np.where(steps % 3 == 0, np.nan, steps % 89 * 1.0)
        if name in values:
            columns[name] = np.full(len(steps), values[name])
    return ColumnBatch(
        spec=spec,
        time=START_US + steps * 10 * SECOND_US,
        columns=columns,
        partition=np.full(len(steps), partition, np.int32),
        offset=np.arange(first_offset, first_offset + len(steps), dtype=np.int64),
        attributes=None
        if attributes is None
        else np.full(len(steps), attributes, object),
    )


class World:
    """A store, its schema, and raw SQL past it."""

    def __init__(self, url: str, schema: str, store: PostgresStore) -> None:
        self.url = url
        self.schema = schema
        self.store = store
        self.spec = SPEC
        self.ref = TopicRef("cluster", "topic-1", SPEC.topic)

    def claim(
        self, *partitions: int, store: PostgresStore | None = None
    ) -> dict[int, Position]:
        """Take partitions over; return positions that have not moved yet."""
        wanted = {
            TopicPartition(self.ref.topic, p): Takeover(self.ref, 0, 0)
            for p in partitions
        }
        claims = (store or self.store).claim(GROUP, wanted)
        return {
            tp.partition: Position(
                self.ref, tp.partition, c.next_offset, c.next_offset, c.epoch
            )
            for tp, c in claims.items()
        }

    def sql(self, query: str, *values: Any) -> list[tuple]:
        """Run a statement; ``{s}`` stands for the schema."""
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query.replace("{s}", self.schema), values or None)
                return cursor.fetchall() if cursor.description else []

    def count(self) -> int:
        return self.sql("SELECT count(*) FROM {s}.metrics")[0][0]

    def stored_offset(self, partition: int = 0) -> int:
        return self.sql(
            "SELECT next_offset FROM {s}.stream_offsets WHERE partition = %s", partition
        )[0][0]

    def close(self) -> None:
        self.store.close()
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            for _ in range(8):
                try:
                    with connection.cursor() as cursor:
                        cursor.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")
                    return
                except psycopg2.errors.DeadlockDetected:
                    time.sleep(0.3)


def moved(position: Position, next_offset: int) -> Position:
    """The same partition, moving on to ``next_offset``."""
    return Position(
        position.ref,
        position.partition,
        position.next_offset,
        next_offset,
        position.epoch,
    )
