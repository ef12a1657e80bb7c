"""What people should know of, once each, until it is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from psycopg2 import sql

if TYPE_CHECKING:
    from rtmlops_lib.store.postgres.connection import Connection

__all__ = ["AlertBook"]

_SECONDS = 15.0
Severity = Literal["info", "warning", "critical"]


class AlertBook:
    """The alerts of one schema.

    Parameters
    ----------
    connection : Connection
    schema : str
    """

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._table = sql.Identifier(schema, "alerts")

    def report(
        self,
        key: str,
        *,
        kind: str,
        severity: Severity,
        message: str,
        stream: str | None = None,
        detail: Mapping[str, Any] | None = None,
        source: str = "rtmlops",
    ) -> tuple[int, bool]:
        """Raise an alert, or report again the one that is open under this key.

        Returns
        -------
        id : int
        new : bool
            Whether it was raised by this call.
        """
        with self._connection.within(_SECONDS) as session:
            row = session.rows(
                self._text(
                    "INSERT INTO {table} AS a (kind, severity, stream, message, "
                    "detail, source, key) VALUES (%s, %s, %s, %s, %s, %s, %s) "
                    "ON CONFLICT (source, key) "
                    "WHERE resolved_at IS NULL AND key IS NOT NULL DO UPDATE SET "
                    "updated_at = now(), times_reported = a.times_reported + 1, "
                    "severity = excluded.severity, message = excluded.message, "
                    "detail = excluded.detail RETURNING id, times_reported"
                ),
                (
                    kind,
                    severity,
                    stream,
                    message,
                    json.dumps(dict(detail or {})),
                    source,
                    key,
                ),
            )[0]
        return int(row[0]), row[1] == 1

    def resolve(self, key: str, *, source: str = "rtmlops") -> bool:
        """Close what is open under this key; False where nothing was."""
        with self._connection.within(_SECONDS) as session:
            return bool(
                session.execute(
                    self._text(
                        "UPDATE {table} SET resolved_at = now(), updated_at = now() "
                        "WHERE source = %s AND key = %s AND resolved_at IS NULL"
                    ),
                    (source, key),
                )
            )

    def acknowledge(self, alert_id: int, by: str) -> bool:
        """Note who has seen it; False where there is no such alert."""
        with self._connection.within(_SECONDS) as session:
            return bool(
                session.execute(
                    self._text(
                        "UPDATE {table} SET acknowledged_at = "
                        "coalesce(acknowledged_at, now()), "
                        "acknowledged_by = coalesce(acknowledged_by, %s) WHERE id = %s"
                    ),
                    (by, alert_id),
                )
            )

    def newest(self, *, open_only: bool = False, limit: int = 100) -> pd.DataFrame:
        """Return alerts, newest first."""
        with self._connection.within(_SECONDS) as session:
            rows = session.rows(
                self._text(
                    "SELECT id, raised_at, updated_at, source, kind, severity, stream, "
                    "message, detail, key, times_reported, acknowledged_at, "
                    "acknowledged_by, resolved_at FROM {table} "
                    "WHERE NOT %s OR resolved_at IS NULL ORDER BY id DESC LIMIT %s"
                ),
                (open_only, limit),
            )
            return pd.DataFrame(rows, columns=list(session.names()))

    def _text(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(table=self._table)
