"""The record of models' aliases, and the lock under which they move."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pandas as pd
import psycopg2
from psycopg2 import sql

from rtmlops_lib.store.contract import StoreUnavailable
from rtmlops_lib.store.model_event import ModelEvent
from rtmlops_lib.store.postgres.session import Session

if TYPE_CHECKING:
    from rtmlops_lib.store.postgres.connection import Connection

__all__ = ["ModelLedger", "model_lock"]

# An alias moves in well under a second; a trainer may move several.
LOCK_SECONDS = 120.0
WAIT_SECONDS = 30.0
_COLUMNS = "model_name, action, alias, from_version, to_version, forced, reason, detail"


class ModelLedger:
    """What happened to one model's aliases; to be used while the lock is held."""

    def __init__(self, session: Session, schema: str, model_name: str) -> None:
        self._session = session
        self._table = sql.Identifier(schema, "model_events")
        self._name = model_name

    def plan(self, events: Sequence[ModelEvent], *, done: bool = False) -> None:
        """Write down what shall happen, all of it or nothing."""
        if not events:
            return
        row = sql.SQL("(%s, %s, %s, %s, %s, %s, %s, %s, %s, {})").format(
            sql.SQL("now()" if done else "NULL")
        )
        move = str(uuid.uuid4())
        values = [
            value
            for e in events
            for value in (
                move,
                e.model_name,
                e.action,
                e.alias,
                e.from_version,
                e.to_version,
                e.forced,
                e.reason,
                json.dumps(dict(e.detail)),
            )
        ]
        self._session.execute(
            sql.SQL("INSERT INTO {} (move_id, {}, done_at) VALUES {}").format(
                self._table,
                sql.SQL(_COLUMNS),
                sql.SQL(", ").join([row] * len(events)),
            ),
            values,
        )

    def pending(self) -> list[ModelEvent]:
        """Return what was planned and not carried out, in order."""
        rows = self._session.rows(
            sql.SQL(
                "SELECT {}, id FROM {} WHERE model_name = %s AND done_at IS NULL "
                "ORDER BY id"
            ).format(sql.SQL(_COLUMNS), self._table),
            (self._name,),
        )
        return [ModelEvent(*row) for row in rows]

    def done(self, event: ModelEvent) -> None:
        """Write down that a planned event was carried out."""
        self._session.execute(
            sql.SQL("UPDATE {} SET done_at = now() WHERE id = %s").format(self._table),
            (event.id,),
        )


@contextmanager
def model_lock(
    connection: Connection, schema: str, model_name: str
) -> Iterator[ModelLedger]:
    """Yield the ledger of a model that nobody else changes meanwhile.

    Raises
    ------
    StoreUnavailable
        When another process keeps the lock too long.
    """
    lock = "(hashtext('rtmlops model ' || %s), hashtext(%s))"
    names = (schema, model_name)
    with connection.within(LOCK_SECONDS) as session:
        deadline = time.monotonic() + WAIT_SECONDS
        while not session.value(f"SELECT pg_try_advisory_lock{lock}", names):
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"the aliases of {model_name!r} are being moved by another process",
                    remedy="try again when it has ended",
                )
            time.sleep(0.1)
        try:
            yield ModelLedger(session, schema, model_name)
        finally:
            if not session.raw.closed:
                try:
                    session.execute(f"SELECT pg_advisory_unlock{lock}", names)
                except psycopg2.Error:
                    # Else the lock would live as long as the pooled connection.
                    session.raw.close()


def history(
    session: Session, schema: str, model_name: str | None, limit: int
) -> pd.DataFrame:
    """Return the newest events first."""
    rows = session.rows(
        sql.SQL(
            "SELECT id, planned_at, done_at, {} FROM {} "
            "WHERE %(name)s::text IS NULL OR model_name = %(name)s "
            "ORDER BY id DESC LIMIT %(limit)s"
        ).format(sql.SQL(_COLUMNS), sql.Identifier(schema, "model_events")),
        {"name": model_name, "limit": limit},
    )
    return pd.DataFrame(rows, columns=list(session.names()))
