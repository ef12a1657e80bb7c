"""Statements that may fail without undoing those before them."""

from __future__ import annotations

import psycopg2
from psycopg2 import sql

from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.postgres.sqlstate import Fault, fault_of

__all__ = ["Savepoints"]


class Savepoints:
    """Attempts within an open transaction, one round trip each."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before = "SAVEPOINT part"

    def attempt(
        self, query: sql.Composable, size: int, data: bytes | None = None
    ) -> int | psycopg2.Error:
        """Run a statement over ``size`` rows; return their number or their fault.

        Raises
        ------
        StoreUnavailable
            When time is over.
        psycopg2.Error
            When the fault is none of the rows'.
        """
        session = self._session
        session.check()
        before = sql.SQL(self._before)
        try:
            if data is None:
                done = session.execute(sql.SQL("{}; {}").format(before, query))
            else:
                session.execute(before)
                session.copy_in(query, data)
                done = size
        except psycopg2.Error as error:
            fault = fault_of(error)
            # ON CONFLICT leaves out repeats of the identity: this is another index.
            if fault not in (Fault.ROW, Fault.DUPLICATE):
                raise
            self._before = "ROLLBACK TO SAVEPOINT part"
            return error
        self._before = "RELEASE SAVEPOINT part; SAVEPOINT part"
        return done

    def finish(self) -> None:
        """Leave the last attempt's savepoint; what succeeded stays."""
        if self._before.startswith("ROLLBACK"):
            self._session.execute(f"{self._before}; RELEASE SAVEPOINT part")
        elif self._before.startswith("RELEASE"):
            self._session.execute("RELEASE SAVEPOINT part")
        self._before = "SAVEPOINT part"
