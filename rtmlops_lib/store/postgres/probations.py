"""New champions under watch, as a table: a restart goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.probation import Probation, ProbationState

if TYPE_CHECKING:
    from rtmlops_lib.store.postgres.connection import Connection

__all__ = ["Probations"]

_COLUMNS = sql.SQL(", ").join(sql.Identifier(f.name) for f in fields(Probation))
_SECONDS = 15.0


class Probations:
    """The probations of one schema; at most one of a model is open.

    Parameters
    ----------
    connection : Connection
    schema : str
    """

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._table = sql.Identifier(schema, "probations")

    def begin(
        self,
        model_name: str,
        version: int,
        former_version: int,
        *,
        started_at: datetime,
        ends_at: datetime,
    ) -> Probation:
        """Watch a version; the one that is watched already, where there is one."""
        with self._connection.within(_SECONDS) as session:
            found = self._one(
                session,
                "INSERT INTO {table} (model_name, version, former_version, started_at, "
                "ends_at) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (model_name) WHERE state = 'watching' DO NOTHING "
                "RETURNING {columns}",
                (model_name, version, former_version, started_at, ends_at),
            ) or self._one(
                session,
                "SELECT {columns} FROM {table} "
                "WHERE model_name = %s AND state = 'watching'",
                (model_name,),
            )
        if found is None:
            # Decided by another process between the two statements.
            return self.begin(
                model_name,
                version,
                former_version,
                started_at=started_at,
                ends_at=ends_at,
            )
        return found

    def watching(self, model_name: str) -> Probation | None:
        """Return the open probation of a model, None where there is none."""
        with self._connection.within(_SECONDS) as session:
            return self._one(
                session,
                "SELECT {columns} FROM {table} "
                "WHERE model_name = %s AND state = 'watching'",
                (model_name,),
            )

    def newest(
        self, *, model_name: str | None = None, limit: int = 50
    ) -> list[Probation]:
        """Return probations, those begun last first."""
        with self._connection.within(_SECONDS) as session:
            return self._all(
                session,
                "SELECT {columns} FROM {table} "
                "WHERE %(name)s::text IS NULL OR model_name = %(name)s "
                "ORDER BY id DESC LIMIT %(limit)s",
                {"name": model_name, "limit": limit},
            )

    def decide(
        self,
        probation: Probation,
        state: ProbationState,
        detail: Mapping[str, Any] | None = None,
    ) -> bool:
        """End a probation; False where it had ended before."""
        with self._connection.within(_SECONDS) as session:
            return bool(
                session.execute(
                    self._text(
                        "UPDATE {table} SET state = %s, decided_at = now(), "
                        "detail = detail || %s::jsonb "
                        "WHERE id = %s AND state = 'watching'"
                    ),
                    (state, json.dumps(dict(detail or {})), probation.id),
                )
            )

    def _text(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(table=self._table, columns=_COLUMNS)

    def _one(self, session: Session, text: str, values: Any) -> Probation | None:
        found = self._all(session, text, values)
        return found[0] if found else None

    def _all(self, session: Session, text: str, values: Any) -> list[Probation]:
        return [Probation(*row) for row in session.rows(self._text(text), values)]
