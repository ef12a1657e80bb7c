"""Put one stream's rows into its table, within an open transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
import psycopg2

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.store.contract import RefusedRow, StoreUnavailable, TopicRef
from rtmlops_lib.store.postgres.bisect import find_refused
from rtmlops_lib.store.postgres.copy_binary import encode
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.postgres.sqlstate import Fault, fault_of
from rtmlops_lib.store.postgres.table import TableSql
from rtmlops_lib.streams import ColumnBatch, PartitionOffset, Reason

__all__ = ["Mode", "RowWriter", "Stored"]

# Fewer refused rows than this are poison, whatever share of their batch they are.
MANY = 10


class Mode(Enum):
    """How rows reach their table."""

    DIRECT = auto()  # one COPY; fails as a whole on a repeat
    STAGED = auto()  # by a temporary table; repeats are left out
    CAREFUL = auto()  # the same under savepoints, to find rows that are refused


@dataclass(slots=True)
class Stored:
    """What became of one stream's rows."""

    rows: int = 0
    duplicates: int = 0
    refused: list[RefusedRow] = field(default_factory=list)


class RowWriter:
    """Stores one batch; encodes it once, so that a second try costs nothing."""

    def __init__(
        self, batch: ColumnBatch, table: TableSql, ref: TopicRef | None
    ) -> None:
        self.batch = batch
        self.table = table
        self._ref = ref
        self._names, self._data = encode(batch)

    def prepare(self, session: Session, mode: Mode) -> None:
        """Do what must happen before the transaction."""
        key = ("staged", self.table.staged_name)
        if mode is not Mode.DIRECT and key not in session.memo:
            session.execute(self.table.create_staged())
            session.memo[key] = True

    def store(self, session: Session, mode: Mode) -> Stored:
        """Store the rows; what the database raises leaves as it is."""
        if mode is Mode.DIRECT:
            session.copy_in(self.table.copy(self._names, staged=False), self._data)
            return Stored(rows=len(self.batch))
        if mode is Mode.STAGED:
            return self._by_staging(session, self._names, self._data, len(self.batch))
        return self._by_halves(session)

    def _by_staging(
        self, session: Session, names: list[str], data: bytes, staged: int
    ) -> Stored:
        session.copy_in(self.table.copy(names, staged=True), data)
        rows = session.execute(self.table.insert())
        stored = Stored(rows=rows)
        if rows < staged:
            stored.refused = self._conflicts(session)
            stored.duplicates = staged - rows - len(stored.refused)
        return stored

    def _conflicts(self, session: Session) -> list[RefusedRow]:
        ref = (self._ref.cluster_id, self._ref.topic_id) if self._ref else ("", "")
        return [
            self._refused(
                PartitionOffset(self.batch.spec.topic, partition, offset),
                Reason.CONFLICT,
                f"the stored event of this identity differs in {differing}",
            )
            for partition, offset, differing in session.rows(
                self.table.conflicts(), ref
            )
        ]

    def _by_halves(self, session: Session) -> Stored:
        total = Stored()
        size = len(self.batch)

        def attempt(part: range) -> psycopg2.Error | None:
            session.check()
            names, data = encode(self.batch.take(np.arange(part.start, part.stop)))
            session.execute("SAVEPOINT part")
            try:
                done = self._by_staging(session, names, data, len(part))
            except psycopg2.Error as error:
                fault = fault_of(error)
                if fault is Fault.MEMORY and len(part) == 1:
                    raise StoreUnavailable(
                        f"the database has no memory left for one row: {error}",
                        remedy="raise max_locks_per_transaction or its memory",
                    ) from error
                if fault not in (Fault.ROW, Fault.MEMORY):
                    raise
                session.execute("ROLLBACK TO SAVEPOINT part")
                return error
            session.execute(self.table.clear_staged())
            session.execute("RELEASE SAVEPOINT part")
            total.rows += done.rows
            total.duplicates += done.duplicates
            total.refused += done.refused
            return None

        def too_many(refused: int) -> bool:
            return refused >= MANY and refused * 2 > size

        faults = find_refused(range(size), attempt, known_bad=True, stop=too_many)
        if too_many(len(faults)):
            raise ConfigurationFault(
                f"the database refuses more than half of {size} rows of table "
                f"{self.batch.spec.table!r}: {_describe(next(iter(faults.values())))}",
                remedy="compare the table's constraints with the stream's spec",
            )
        for row, error in faults.items():
            place = PartitionOffset(
                self.batch.spec.topic,
                int(self.batch.partition[row]),
                int(self.batch.offset[row]),
            )
            total.refused.append(self._refused(place, Reason.REFUSED, _describe(error)))
        return total

    def _refused(
        self, place: PartitionOffset, reason: Reason, detail: str
    ) -> RefusedRow:
        return RefusedRow(self.batch.spec.name, place, reason, detail)


def _describe(error: psycopg2.Error) -> str:
    # Never the row itself: the letter carries it, and a log must not.
    text = error.diag.message_primary or str(error).partition("\n")[0]
    return f"{error.pgcode}: {text}"
