"""Episodes of anomalies: each is one row, kept up to date."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from psycopg2 import sql

from rtmlops_lib.store.anomaly_event import AnomalyEvent
from rtmlops_lib.store.postgres.session import Session

__all__ = ["newest", "upsert"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = {
    "stream": "text",
    "series_key": "text",
    "detector": "text",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "peak_at": "timestamptz",
    "confirmed_at": "timestamptz",
    "peak_score": "double precision",
    "flagged_rows": "bigint",
    "severity": "text",
    "metric": "text",
    "explanation": "text",
    "state": "text",
    "series": "jsonb",
}
_KEY = ("stream", "series_key", "detector", "started_at")
_TIMES = tuple(n for n, kind in _COLUMNS.items() if kind == "timestamptz")


def upsert(session: Session, schema: str, events: Sequence[AnomalyEvent]) -> None:
    """Store episodes as they are now, in the open transaction.

    Of one that is told of twice the last counts. They are locked in one order. A
    series has one episode at a time: an earlier one that still stands open is closed;
    its detector's state was lost.
    """
    if not events:
        return
    rows = {tuple(row[name] for name in _KEY): row for row in map(_row, events)}
    ordered = [rows[key] for key in sorted(rows)]
    table = sql.Identifier(schema, "anomaly_events")
    values = {name: [row[name] for row in ordered] for name in _COLUMNS}
    names = _names(_COLUMNS)
    session.execute(
        sql.SQL(
            "INSERT INTO {} ({names}) SELECT {names} FROM unnest({}) AS e({names}) "
            "ON CONFLICT ({}) DO UPDATE SET {}, updated_at = now()"
        ).format(
            table,
            _arrays(_COLUMNS),
            _names(_KEY),
            sql.SQL(", ").join(
                sql.SQL("{c} = excluded.{c}").format(c=sql.Identifier(name))
                for name in _COLUMNS
                if name not in _KEY
            ),
            names=names,
        ),
        values,
    )
    session.execute(
        sql.SQL(
            "UPDATE {} AS e SET state = 'closed', updated_at = now() "
            "FROM unnest({}) AS n({}) WHERE e.state = 'open' AND e.stream = n.stream "
            "AND e.series_key = n.series_key AND e.detector = n.detector "
            "AND e.started_at < n.started_at"
        ).format(table, _arrays(_KEY), _names(_KEY)),
        values,
    )


def newest(
    session: Session,
    schema: str,
    stream: str | None,
    since: datetime | None,
    open_only: bool,
    limit: int,
) -> pd.DataFrame:
    """Return episodes, the last begun first."""
    rows = session.rows(
        sql.SQL(
            "SELECT {}, updated_at FROM {} "
            "WHERE (%(stream)s::text IS NULL OR stream = %(stream)s) "
            "AND ended_at >= coalesce(%(since)s, '-infinity'::timestamptz) "
            "AND (NOT %(open)s OR state = 'open') "
            "ORDER BY started_at DESC, series_key, detector LIMIT %(limit)s"
        ).format(_names(_COLUMNS), sql.Identifier(schema, "anomaly_events")),
        {"stream": stream, "since": since, "open": open_only, "limit": limit},
    )
    return pd.DataFrame(rows, columns=list(session.names()))


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _arrays(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL(f"%({name})s::{_COLUMNS[name]}[]") for name in columns
    )


def _row(event: AnomalyEvent) -> dict[str, Any]:
    row = {
        name: getattr(event, name)
        for name in (*_COLUMNS,)
        if name not in ("series", *_TIMES)
    }
    for name in _TIMES:
        row[name] = _EPOCH + timedelta(microseconds=getattr(event, name))
    return {**row, "series": json.dumps(dict(event.series))}
