"""Rows and positions in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psycopg2
from psycopg2 import sql

from rtmlops_lib.logs import get_logger
from rtmlops_lib.store.anomaly_event import AnomalyEvent
from rtmlops_lib.store.contract import (
    Position,
    RefusedRow,
    Snapshot,
    StoreUnavailable,
    Written,
)
from rtmlops_lib.store.postgres import anomaly_events, offsets, state
from rtmlops_lib.store.postgres.connection import Connection
from rtmlops_lib.store.postgres.recent import RecentIdentities
from rtmlops_lib.store.postgres.rows import Mode, RowWriter
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.postgres.sqlstate import Fault, fault_of
from rtmlops_lib.store.postgres.table import TableSql
from rtmlops_lib.streams import ColumnBatch, StreamSpec

__all__ = ["Beside", "Writer"]

log = get_logger(__name__)

# After an unexpected repeat, that many batches without one before direct COPY again: a
# COPY that fails on its last row leaves all the others behind as dead tuples.
STAGED_BATCHES = 50

_DIRTY = """
    INSERT INTO {schema}.rollup_dirty (table_name, bucket)
    SELECT {table}, to_timestamp(m * 60::bigint) FROM unnest({minutes}) AS m
"""
DEADLOCK = "40P01"
_OF_ROWS = (Fault.ROW, Fault.DUPLICATE)


class _Again(Exception):
    """The transaction was undone and is worth another try in another mode."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What goes into the transaction beside rows and offsets."""

    snapshots: tuple[Snapshot, ...] = ()
    anomaly_events: tuple[AnomalyEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A write whose COMMIT was sent and not answered."""

    group: str
    positions: tuple[Position, ...]
    written: Written


class Writer:
    """The one place where events are stored.

    Parameters
    ----------
    connection : Connection
        Used by the writing thread alone.
    schema : str
        Where the tables are.

    Notes
    -----
    Taught in chapter 04.
    """

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self._tables: dict[str, TableSql] = {}
        self._staged_left: dict[str, int] = {}
        self._recent = RecentIdentities()
        self._doubt: _Doubt | None = None

    def warm(self, batches: Sequence[ColumnBatch]) -> None:
        """As ``Store.warm``: encode as the next write most likely will."""
        for batch in batches:
            # Another thread may change the mode meanwhile: then it encodes anew.
            staged = bool(self._staged_left.get(batch.spec.table))
            RowWriter.encode(batch, self._recent, staged=staged)

    def write(
        self,
        group: str,
        batches: Sequence[ColumnBatch],
        positions: Sequence[Position],
        beside: Beside,
        before_commit: Callable[[Sequence[RefusedRow]], None] | None,
        deadline_seconds: float,
    ) -> Written:
        """As ``Store.write``."""
        with self._connection.within(deadline_seconds) as session:
            settled = self._settle_former(session, group, positions)
            if settled is not None:
                return settled
            refs = {p.ref.topic: p.ref for p in positions}
            writers = [
                RowWriter(
                    batch,
                    self._table(batch.spec),
                    refs.get(batch.spec.topic),
                    self._recent,
                )
                for batch in batches
                if len(batch)
            ]
            careful: set[str] = set()
            while True:
                try:
                    return self._attempt(
                        session,
                        group,
                        writers,
                        positions,
                        beside,
                        before_commit,
                        careful,
                    )
                except _Again:
                    session.check()

    def _attempt(
        self,
        session: Session,
        group: str,
        writers: Sequence[RowWriter],
        positions: Sequence[Position],
        beside: Beside,
        before_commit: Callable[[Sequence[RefusedRow]], None] | None,
        careful: set[str],
    ) -> Written:
        modes = [self._mode(writer, careful) for writer in writers]
        for writer, mode in zip(writers, modes, strict=True):
            writer.prepare(session, mode)
        dirty = [self._dirty(session, writer) for writer in writers]
        fenced = offsets.move(session, self._schema, group, positions)
        if fenced:
            session.rollback()
            return Written(fenced=fenced)
        written = Written()
        last: list[sql.Composable] = []
        unexpected: dict[str, bool] = {}
        for writer, mode, mark in zip(writers, modes, dirty, strict=True):
            spec = writer.batch.spec
            try:
                stored = writer.store(session, mode)
            except psycopg2.Error as error:
                self._learn(session, spec.table, mode, error, careful)
            written.rows[spec.name] = stored.rows
            written.duplicates[spec.name] = stored.duplicates
            written.refused += stored.refused
            if mode is not Mode.DIRECT:
                unexpected[spec.table] = stored.unexpected
            if stored.rows and mark is not None:
                last.append(mark)
        state.save(session, self._schema, group, positions, beside.snapshots)
        anomaly_events.upsert(session, self._schema, beside.anomaly_events)
        if before_commit is not None:
            before_commit(written.refused)
        self._commit(session, last, _Doubt(group, tuple(positions), written))
        for table, met in unexpected.items():
            left = self._staged_left.get(table, 0)
            self._staged_left[table] = STAGED_BATCHES if met else max(0, left - 1)
        return written

    def _mode(self, writer: RowWriter, careful: set[str]) -> Mode:
        table = writer.batch.spec.table
        if table in careful:
            return Mode.CAREFUL
        return Mode.STAGED if self._staged_left.get(table) else Mode.DIRECT

    def _learn(
        self,
        session: Session,
        table: str,
        mode: Mode,
        error: psycopg2.Error,
        careful: set[str],
    ) -> None:
        fault = fault_of(error)
        deadlock = error.pgcode == DEADLOCK
        if mode is Mode.DIRECT and (fault is Fault.DUPLICATE or deadlock):
            self._staged_left[table] = STAGED_BATCHES
        elif fault in _OF_ROWS and mode is not Mode.CAREFUL:
            # A repeat that ON CONFLICT did not see is one of another unique index.
            careful.add(table)
        elif not deadlock:
            raise error
        # A deadlock of staged rows is one with a writer that still goes the direct way:
        # what is staged goes in one order, whoever stages it.
        session.rollback()
        raise _Again from error

    def _commit(
        self, session: Session, last: Sequence[sql.Composable], doubt: _Doubt
    ) -> None:
        session.check()
        statement = sql.SQL(";").join(last)
        try:
            committed = session.commit(statement)
        except psycopg2.Error as error:
            if error.pgcode is not None and not session.raw.closed:
                raise
            self._settle_now(session, doubt, error)
            return
        if not committed:
            raise StoreUnavailable("the database undid the transaction at its end")

    def _settle_now(
        self, session: Session, doubt: _Doubt, error: psycopg2.Error
    ) -> None:
        self._doubt = doubt
        if not any(p.next_offset != p.expected for p in doubt.positions):
            self._doubt = None
            raise error
        log.warning("commit_unanswered", error=" ".join(str(error).split()))
        if session.remaining_seconds <= 0:
            raise error
        with session.reopened() as second:
            stored = offsets.held(second, self._schema, doubt.group, doubt.positions)
        self._doubt = None
        log.warning("commit_settled", stored=stored)
        if not stored:
            raise error

    def _settle_former(
        self, session: Session, group: str, positions: Sequence[Position]
    ) -> Written | None:
        # Without this the caller would find itself fenced by its own success.
        doubt = self._doubt
        if doubt is None:
            return None
        stored = offsets.held(session, self._schema, doubt.group, doubt.positions)
        self._doubt = None
        log.warning("commit_settled", stored=stored)
        same = (doubt.group, doubt.positions) == (group, tuple(positions))
        return doubt.written if stored and same else None

    def _table(self, spec: StreamSpec) -> TableSql:
        table = self._tables.get(spec.table)
        if table is None or table.spec is not spec:
            table = self._tables[spec.table] = TableSql(spec, self._schema)
        return table

    def _dirty(self, session: Session, writer: RowWriter) -> sql.Composable | None:
        spec = writer.batch.spec
        if not spec.rollups:
            return None
        key = ("rolled by hand", spec.table)
        if key not in session.memo:
            session.memo[key] = session.value(
                "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c "
                "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
                "WHERE n.nspname = %s AND c.relname = %s)",
                (self._schema, f"{spec.table}_1m_data"),
            )
        if not session.memo[key]:
            return None
        minutes = np.unique(writer.batch.time // 60_000_000).tolist()
        return sql.SQL(_DIRTY).format(
            schema=sql.Identifier(self._schema),
            table=sql.Literal(spec.table),
            minutes=sql.SQL("ARRAY[{}]::bigint[]").format(
                sql.SQL(",").join(map(sql.Literal, minutes))
            ),
        )
