"""One call's use of a connection."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import psycopg2.errors
import psycopg2.extensions
from psycopg2 import sql

from rtmlops_lib.store.contract import StoreUnavailable

__all__ = ["Query", "Session"]

Query = str | sql.Composable
ResultT = TypeVar("ResultT")


class Session:
    """Statements on an open connection, until the deadline of the call.

    Parameters
    ----------
    raw : psycopg2 connection
        In autocommit.
    deadline : float
        By ``time.monotonic``.
    memo : dict
        Facts that hold as long as this connection (temporary tables, capabilities).
    reopen : callable, optional
        Gives a session on a new connection for the rest of the time.
    """

    def __init__(
        self,
        raw: psycopg2.extensions.connection,
        deadline: float,
        memo: dict[Any, Any],
        reopen: Callable[[], AbstractContextManager[Session]] | None,
    ) -> None:
        self.raw = raw
        self.memo = memo
        self._deadline = deadline
        self._reopen = reopen
        self._cursor = raw.cursor()

    @property
    def remaining_seconds(self) -> float:
        """Time left."""
        return self._deadline - time.monotonic()

    def check(self) -> None:
        """Raise StoreUnavailable when the time is over."""
        if self.remaining_seconds <= 0:
            raise StoreUnavailable("the time for this call is over")

    def execute(self, query: Query, values: Any = None) -> int:
        """Run a statement; return the number of rows it touched."""
        self._cursor.execute(query, values)
        return self._cursor.rowcount

    def rows(self, query: Query, values: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement and return what it answers."""
        self._cursor.execute(query, values)
        return self._cursor.fetchall()

    def value(self, query: Query, values: Any = None) -> Any:
        """Run a statement and return the first column of its first row, or None."""
        found = self.rows(query, values)
        return found[0][0] if found else None

    def names(self) -> Sequence[str]:
        """Return the column names of the last answer."""
        return [column.name for column in self._cursor.description or ()]

    def names_of(self, relation: str) -> list[str]:
        """Return the column names of a table or view, [] where there is none."""
        found = self.rows(
            "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = "
            "to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (relation,),
        )
        return [row[0] for row in found]

    def copy_in(self, query: Query, data: bytes) -> None:
        """Run a ``COPY … FROM STDIN`` with ``data``."""
        # In one piece: after each, this thread would wait for the interpreter's lock,
        # which the consume loop's thread holds most of the time.
        self._cursor.copy_expert(query, io.BytesIO(data), max(1, len(data)))

    def commit(self, last: Query = "", values: Any = None) -> bool:
        """Run ``last`` and COMMIT in one round trip; False when it was undone."""
        self._cursor.execute(sql.SQL("{};COMMIT").format(_composable(last)), values)
        return self._cursor.statusmessage == "COMMIT"

    def rollback(self) -> None:
        """Undo the open transaction."""
        self._cursor.execute("ROLLBACK")

    def through_deadlocks(self, work: Callable[[], ResultT], tries: int = 8) -> ResultT:
        """Run ``work``, which may be repeated, again when it loses a deadlock.

        TimescaleDB's background jobs lock a table after their own entry in the
        catalogue, DDL the other way round.
        """
        for again in range(tries - 1, -1, -1):
            try:
                return work()
            except psycopg2.errors.DeadlockDetected:
                self.rollback()
                if not again:
                    raise
                time.sleep(min(0.5, max(0.0, self.remaining_seconds)))
        raise AssertionError("unreachable")  # pragma: no cover

    def reopened(self) -> AbstractContextManager[Session]:
        """Return a session on a new connection, for what is left of the time."""
        if self._reopen is None:
            raise StoreUnavailable("the connection was lost twice in one call")
        return self._reopen()


def _composable(query: Query) -> sql.Composable:
    return sql.SQL(query) if isinstance(query, str) else query
