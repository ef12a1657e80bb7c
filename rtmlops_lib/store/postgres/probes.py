"""Questions about stored events that are answered in milliseconds."""

from __future__ import annotations

from datetime import datetime

from psycopg2 import sql

from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import StreamSpec

__all__ = ["has_events", "rows_since"]


def has_events(session: Session, schema: str, spec: StreamSpec) -> bool:
    """Return whether anything is stored of a stream."""
    return bool(
        session.value(
            sql.SQL("SELECT EXISTS (SELECT FROM {table})").format(
                table=sql.Identifier(schema, spec.table)
            )
        )
    )


def rows_since(
    session: Session, schema: str, spec: StreamSpec, since: datetime, at_most: int
) -> tuple[int, float]:
    """Return how many events came since, counted up to a number, and their seconds."""
    ((count, seconds),) = session.rows(
        sql.SQL(
            "SELECT (SELECT count(*) FROM (SELECT FROM {table} WHERE {time} >= "
            "%(since)s LIMIT %(most)s) AS found), extract(epoch FROM "
            "(SELECT max({time}) FROM {table} WHERE {time} >= %(since)s) - "
            "(SELECT min({time}) FROM {table} WHERE {time} >= %(since)s))"
        ).format(
            time=sql.Identifier(spec.time.field),
            table=sql.Identifier(schema, spec.table),
        ),
        {"since": since, "most": at_most},
    )
    return int(count), float(seconds or 0.0)
