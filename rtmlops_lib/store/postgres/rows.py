"""Put one stream's rows into its table, within an open transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import numpy as np
import psycopg2

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.store.contract import RefusedRow, TopicRef
from rtmlops_lib.store.postgres.bisect import find_refused
from rtmlops_lib.store.postgres.copy_binary import encode
from rtmlops_lib.store.postgres.savepoints import Savepoints
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.postgres.table import TableSql
from rtmlops_lib.streams import ColumnBatch, PartitionOffset, Reason

__all__ = ["Mode", "RowWriter", "Stored"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    """Stores one batch; what it encodes stays with the batch for a second try."""

    def __init__(
        self, batch: ColumnBatch, table: TableSql, ref: TopicRef | None
    ) -> None:
        self.batch = batch
        self.table = table
        self._ref = ref

    @staticmethod
    def encoded(batch: ColumnBatch, *, staged: bool) -> tuple[list[str], bytes]:
        """Return column names and COPY data of a batch, made once."""
        key = ("copy", staged)
        if key not in batch.memo:
            places = np.arange(len(batch)) if staged else None
            batch.memo[key] = encode(batch, places)
        found: tuple[list[str], bytes] = batch.memo[key]
        return found

    def prepare(self, session: Session, mode: Mode) -> None:
        """Do what must happen before the transaction."""
        staged = mode is not Mode.DIRECT
        if mode is not Mode.CAREFUL:
            self.encoded(self.batch, staged=staged)
        key = ("staged", self.table.staged_name)
        if staged and key not in session.memo:
            session.execute(self.table.create_staged())
            session.memo[key] = True

    def store(self, session: Session, mode: Mode) -> Stored:
        """Store the rows; what the database raises leaves as it is."""
        if mode is Mode.CAREFUL:
            return self._by_halves(session)
        staged = mode is Mode.STAGED
        names, data = self.encoded(self.batch, staged=staged)
        session.copy_in(self.table.copy(names, staged=staged), data)
        if not staged:
            return Stored(rows=len(self.batch))
        if len(self.batch) and self.batch.offset[0] < 0:
            everything = range(len(self.batch))
            rows = session.execute(self.table.insert_part(everything))
            left_out = [] if rows == len(self.batch) else list(everything)
        else:
            left_out = [row[0] for row in session.rows(self.table.insert())]
            rows = len(self.batch) - len(left_out)
        stored = Stored(rows=rows)
        if left_out:
            stored.refused = self._conflicts(session, left_out)
            stored.duplicates = len(self.batch) - rows - len(stored.refused)
        return stored

    def _conflicts(self, session: Session, places: list[int]) -> list[RefusedRow]:
        ref = (self._ref.cluster_id, self._ref.topic_id) if self._ref else ("", "")
        return [
            self._refused(
                PartitionOffset(self.batch.spec.topic, partition, offset),
                Reason.CONFLICT,
                f"the stored event of this identity differs in {differing}",
            )
            for partition, offset, differing in session.rows(
                self.table.conflicts(), (*self._span(), places, *ref)
            )
        ]

    def _span(self) -> tuple[datetime, datetime]:
        first, last = int(self.batch.time.min()), int(self.batch.time.max())
        return (
            EPOCH + timedelta(microseconds=first),
            EPOCH + timedelta(microseconds=last),
        )

    def _by_halves(self, session: Session) -> Stored:
        steps = Savepoints(session)
        everything = range(len(self.batch))
        rows = 0

        def stage(part: range) -> psycopg2.Error | None:
            places = np.arange(part.start, part.stop)
            names, data = encode(self.batch.take(places), places)
            query = self.table.copy(names, staged=True)
            done = steps.attempt(query, len(part), data)
            return done if isinstance(done, psycopg2.Error) else None

        def insert(part: range) -> psycopg2.Error | None:
            nonlocal rows
            done = steps.attempt(self.table.insert_part(part), len(part))
            if isinstance(done, psycopg2.Error):
                return done
            rows += done
            return None

        faults = find_refused(everything, stage, stop=self._too_many)
        self._check_share(faults)
        unreadable = len(faults)
        steps.finish()
        session.execute(self.table.index_staged())
        faults |= find_refused(
            everything, insert, stop=lambda n: self._too_many(n + unreadable)
        )
        self._check_share(faults)
        steps.finish()
        session.execute(self.table.unindex_staged())
        others = [row for row in everything if row not in faults]
        conflicts = self._conflicts(session, others)
        repeats = len(self.batch) - len(faults) - rows - len(conflicts)
        refused = [self._refused_row(row, error) for row, error in faults.items()]
        return Stored(rows, repeats, refused + conflicts)

    def _check_share(self, faults: dict[int, psycopg2.Error]) -> None:
        if self._too_many(len(faults)):
            raise ConfigurationFault(
                f"the database refuses more than half of {len(self.batch)} rows of "
                f"table {self.batch.spec.table!r}: "
                f"{_describe(next(iter(faults.values())))}",
                remedy="compare the table's constraints with the stream's spec",
            )

    def _too_many(self, refused: int) -> bool:
        return refused >= MANY and refused * 2 > len(self.batch)

    def _refused_row(self, row: int, error: psycopg2.Error) -> RefusedRow:
        place = PartitionOffset(
            self.batch.spec.topic,
            int(self.batch.partition[row]),
            int(self.batch.offset[row]),
        )
        return self._refused(place, Reason.REFUSED, _describe(error))

    def _refused(
        self, place: PartitionOffset, reason: Reason, detail: str
    ) -> RefusedRow:
        return RefusedRow(self.batch.spec.name, place, reason, detail)


def _describe(error: psycopg2.Error) -> str:
    # Never the row itself: the letter carries it, and a log must not.
    text = error.diag.message_primary or str(error).partition("\n")[0]
    return f"{error.pgcode}: {text}"
