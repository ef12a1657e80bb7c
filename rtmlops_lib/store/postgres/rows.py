"""Put one stream's rows into its table, within an open transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import numpy as np
import psycopg2
from numpy.typing import NDArray

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.store.contract import RefusedRow, TopicRef
from rtmlops_lib.store.postgres.bisect import find_refused
from rtmlops_lib.store.postgres.copy_binary import encode
from rtmlops_lib.store.postgres.recent import RecentIdentities
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

    DIRECT = auto()  # COPY, but for expected repeats; fails as a whole on any other
    STAGED = auto()  # by a temporary table; repeats are left out
    CAREFUL = auto()  # the same under savepoints, to find rows that are refused


@dataclass(slots=True)
class Stored:
    """What became of one stream's rows.

    ``unexpected`` says that a row was a repeat which nobody had expected to be one.
    """

    rows: int = 0
    duplicates: int = 0
    refused: list[RefusedRow] = field(default_factory=list)
    unexpected: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of a batch, ready for COPY."""

    places: NDArray[np.int64]
    names: list[str]
    data: bytes


class RowWriter:
    """Stores one batch; what it encodes stays with the batch for a second try.

    Parameters
    ----------
    batch : ColumnBatch
    table : TableSql
    ref : TopicRef, optional
        The topic the batch came from.
    recent : RecentIdentities
        What tells which rows to expect as repeats.
    """

    def __init__(
        self,
        batch: ColumnBatch,
        table: TableSql,
        ref: TopicRef | None,
        recent: RecentIdentities,
    ) -> None:
        self.batch = batch
        self.table = table
        self._ref = ref
        self._recent = recent

    @staticmethod
    def encode(
        batch: ColumnBatch, recent: RecentIdentities, *, staged: bool
    ) -> tuple[_Part | None, _Part | None]:
        """Return what goes straight and what goes staged, each made once."""
        if "repeats" not in batch.memo:
            batch.memo["repeats"] = recent.meet(batch)
        key = ("copy", staged)
        if key not in batch.memo:
            repeats: NDArray[np.bool_] = batch.memo["repeats"]
            last = np.ones_like(repeats) if staged else repeats
            batch.memo[key] = (
                _encoded(batch, ~last, staged=False),
                _encoded(batch, last, staged=True),
            )
        found: tuple[_Part | None, _Part | None] = batch.memo[key]
        return found

    def _parts(self, mode: Mode) -> tuple[_Part | None, _Part | None]:
        return self.encode(self.batch, self._recent, staged=mode is Mode.STAGED)

    def prepare(self, session: Session, mode: Mode) -> None:
        """Do what must happen before the transaction.

        Raises
        ------
        ConfigurationFault
            When a column is of another type than its field: COPY would take the one's
            bytes for the other's.
        """
        checked = ("types", self.table.staged_name)
        if checked not in session.memo:
            self.table.check(session)
            session.memo[checked] = True
        staged = mode is Mode.CAREFUL or self._parts(mode)[1] is not None
        key = ("staged", self.table.staged_name)
        if staged and key not in session.memo:
            session.execute(self.table.create_staged())
            session.memo[key] = True

    def store(self, session: Session, mode: Mode) -> Stored:
        """Store the rows; what the database raises leaves as it is."""
        if mode is Mode.CAREFUL:
            return self._by_halves(session)
        straight, last = self._parts(mode)
        stored = Stored()
        if straight is not None:
            session.copy_in(
                self.table.copy(straight.names, staged=False), straight.data
            )
            stored.rows = len(straight.places)
        if last is not None:
            self._store_staged(session, last, stored)
        return stored

    def _store_staged(self, session: Session, part: _Part, stored: Stored) -> None:
        session.copy_in(self.table.copy(part.names, staged=True), part.data)
        if self.batch.offset[0] < 0:
            rows = session.execute(self.table.insert_part(range(len(self.batch))))
            left_out = [] if rows == len(part.places) else part.places.tolist()
        else:
            left_out = [row[0] for row in session.rows(self.table.insert())]
            rows = len(part.places) - len(left_out)
        stored.rows += rows
        if left_out:
            stored.refused = self._conflicts(session, left_out)
            stored.duplicates = len(part.places) - rows - len(stored.refused)
            stored.unexpected = not self.batch.memo["repeats"][left_out].all()

    def _conflicts(self, session: Session, places: list[int]) -> list[RefusedRow]:
        if self.batch.spec.derived:
            return []
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
        return Stored(rows, repeats, refused + conflicts, unexpected=True)

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


def _encoded(
    batch: ColumnBatch, rows: NDArray[np.bool_], *, staged: bool
) -> _Part | None:
    places = np.flatnonzero(rows)
    if not len(places):
        return None
    part = batch if len(places) == len(batch) else batch.take(places)
    names, data = encode(part, places if staged else None)
    return _Part(places, names, data)


def _describe(error: psycopg2.Error) -> str:
    # Never the row itself: the letter carries it, and a log must not.
    text = error.diag.message_primary or str(error).partition("\n")[0]
    return f"{error.pgcode}: {text}"
