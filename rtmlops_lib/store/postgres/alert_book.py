"""What people should know of, once each, until it is over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from psycopg2 import sql

from rtmlops_lib.store.alert import Alert, Severity
from rtmlops_lib.store.postgres.session import Session

if TYPE_CHECKING:
    from rtmlops_lib.store.postgres.connection import Connection

__all__ = ["AlertBook"]

_COLUMNS = (
    "id",
    "raised_at",
    "updated_at",
    "source",
    "kind",
    "severity",
    "stream",
    "message",
    "detail",
    "key",
    "times_reported",
    "acknowledged_at",
    "acknowledged_by",
    "resolved_at",
)


# Nothing resolves them but that somebody has seen them.
_ONCE = ("model_rollback",)


class AlertBook:
    """The alerts of one schema.

    Parameters
    ----------
    connection : Connection
    schema : str
    seconds : float
        How long one call may take.
    """

    def __init__(
        self, connection: Connection, schema: str, *, seconds: float = 15.0
    ) -> None:
        self._connection = connection
        self._seconds = seconds
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
        alert = Alert(key, kind, severity, message, stream, detail or {})
        return self.report_all([alert], source=source)[0]

    def report_all(
        self, alerts: Iterable[Alert], *, source: str = "rtmlops"
    ) -> list[tuple[int, bool]]:
        """Report several, all of them or none; return what ``report`` does of each."""
        # One statement can report a key once.
        asked, rounds = list(alerts), list[dict[str, int]]()
        for index, alert in enumerate(asked):
            for one in rounds:
                if alert.key not in one:
                    one[alert.key] = index
                    break
            else:
                rounds.append({alert.key: index})
        found: dict[int, tuple[int, bool]] = {}
        with self._connection.within(self._seconds) as session:
            session.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            for one in rounds:
                told = self._report(session, [asked[i] for i in one.values()], source)
                found |= {index: told[key] for key, index in one.items()}
            session.commit()
        return [found[index] for index in range(len(asked))]

    def resolve(self, key: str, *, source: str = "rtmlops") -> bool:
        """Close what is open under this key; False where nothing was."""
        return bool(self.resolve_all([key], source=source))

    def resolve_all(
        self, keys: Iterable[str], *, source: str = "rtmlops"
    ) -> dict[str, int]:
        """Close what is open under these keys; return the ids by key."""
        with self._connection.within(self._seconds) as session:
            rows = session.rows(
                self._text(
                    "UPDATE {table} SET resolved_at = now(), updated_at = now() "
                    "WHERE id IN (SELECT id FROM {table} WHERE source = %s "
                    "AND key = ANY(%s) AND resolved_at IS NULL "
                    "ORDER BY key FOR UPDATE) RETURNING key, id"
                ),
                (source, list(keys)),
            )
        return {key: int(alert_id) for key, alert_id in rows}

    def acknowledge(self, alert_id: int, by: str) -> bool:
        """Note who has seen it; False where there is no such alert.

        What happened once, such as a rollback, is over with that.
        """
        with self._connection.within(self._seconds) as session:
            return bool(
                session.execute(
                    self._text(
                        "UPDATE {table} SET acknowledged_at = "
                        "coalesce(acknowledged_at, now()), "
                        "acknowledged_by = coalesce(acknowledged_by, %s), "
                        "resolved_at = CASE WHEN kind = ANY (%s) "
                        "THEN coalesce(resolved_at, now()) ELSE resolved_at END "
                        "WHERE id = %s"
                    ),
                    (by, list(_ONCE), alert_id),
                )
            )

    def newest(self, *, open_only: bool = False, limit: int = 100) -> pd.DataFrame:
        """Return alerts, newest first.

        One without a key tells of what happened once: it is open until somebody has
        acknowledged it.
        """
        return pd.DataFrame(
            self.records(open_only=open_only, limit=limit), columns=[*_COLUMNS]
        )

    def records(
        self, *, open_only: bool = False, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return the same as plain mappings, None where nothing is."""
        # Apart, so that the index on what is open is used.
        open_ = sql.SQL(
            "WHERE resolved_at IS NULL AND (key IS NOT NULL OR acknowledged_at IS NULL)"
        )
        with self._connection.within(self._seconds) as session:
            rows = session.rows(
                sql.SQL("SELECT {} FROM {} {} ORDER BY id DESC LIMIT %s").format(
                    sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)),
                    self._table,
                    open_ if open_only else sql.SQL(""),
                ),
                (limit,),
            )
        return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]

    def _report(
        self, session: Session, alerts: list[Alert], source: str
    ) -> dict[str, tuple[int, bool]]:
        """Report alerts of different keys; return what ``report`` does, by key."""
        rows = session.rows(
            self._text(
                "INSERT INTO {table} AS a (kind, severity, stream, message, "
                "detail, source, key) "
                "SELECT kind, severity, stream, message, detail::jsonb, %s, key "
                "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], "
                "%s::text[], %s::text[]) "
                "AS given (key, kind, severity, stream, message, detail) "
                # In one order for all, or two calls could wait for each other.
                "ORDER BY key "
                "ON CONFLICT (source, key) "
                "WHERE resolved_at IS NULL AND key IS NOT NULL DO UPDATE SET "
                "updated_at = now(), times_reported = a.times_reported + 1, "
                "severity = excluded.severity, message = excluded.message, "
                "detail = excluded.detail RETURNING key, id, times_reported"
            ),
            (
                source,
                [alert.key for alert in alerts],
                [alert.kind for alert in alerts],
                [alert.severity for alert in alerts],
                [alert.stream for alert in alerts],
                [alert.message for alert in alerts],
                [json.dumps(dict(alert.detail)) for alert in alerts],
            ),
        )
        return {key: (int(alert_id), times == 1) for key, alert_id, times in rows}

    def _text(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(table=self._table)
