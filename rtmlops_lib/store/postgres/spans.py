"""How far the stored events reach, and who has predicted them."""

from __future__ import annotations

from datetime import UTC, datetime

from psycopg2 import sql

from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import StreamSpec, prediction_spec

__all__ = ["first_time", "newest_time", "prediction_counts", "row_count"]

_FIRST = datetime(1, 1, 1, tzinfo=UTC)


def newest_time(
    session: Session, schema: str, spec: StreamSpec, since: datetime | None
) -> datetime | None:
    """Return the time of the newest stored event after ``since``.

    One event of a clock that is years ahead must not be the newest for years: what
    the codec would refuse as too far in the future is passed over here as well.
    """
    found: datetime | None = session.value(
        sql.SQL(
            "SELECT max({time}) FROM {table} WHERE {time} >= %s "
            "AND {time} <= now() + %s * interval '1 second'"
        ).format(
            time=sql.Identifier(spec.time.field),
            table=sql.Identifier(schema, spec.table),
        ),
        (since or _FIRST, spec.time.max_future_seconds),
    )
    return found


def first_time(
    session: Session, schema: str, spec: StreamSpec, since: datetime
) -> datetime | None:
    """Return the time of the first stored event from ``since`` on."""
    found: datetime | None = session.value(
        sql.SQL("SELECT min({time}) FROM {table} WHERE {time} >= %s").format(
            time=sql.Identifier(spec.time.field),
            table=sql.Identifier(schema, spec.table),
        ),
        (since,),
    )
    return found


def row_count(
    session: Session,
    schema: str,
    spec: StreamSpec,
    since: datetime,
    until: datetime | None,
) -> tuple[int, float]:
    """Return the events with ``since <= time < until`` and the seconds they span."""
    ((count, seconds),) = session.rows(
        sql.SQL(
            "SELECT count(*), extract(epoch FROM max({time}) - min({time})) "
            "FROM {table} WHERE {time} >= %(since)s "
            "AND {time} < coalesce(%(until)s, 'infinity'::timestamptz)"
        ).format(
            time=sql.Identifier(spec.time.field),
            table=sql.Identifier(schema, spec.table),
        ),
        {"since": since, "until": until},
    )
    return int(count), float(seconds or 0.0)


def prediction_counts(
    session: Session,
    schema: str,
    spec: StreamSpec,
    model_name: str,
    since: datetime,
    until: datetime,
) -> dict[tuple[str, int], int]:
    """Return predictions by role and version of events in a window."""
    rows = session.rows(
        sql.SQL(
            "SELECT role, model_version, count(*) FROM {table} "
            "WHERE {time} >= %s AND {time} < %s AND model_name = %s GROUP BY 1, 2"
        ).format(
            time=sql.Identifier(spec.time.field),
            table=sql.Identifier(schema, prediction_spec(spec).table),
        ),
        (since, until, model_name),
    )
    return {(role, int(version)): int(count) for role, version, count in rows}
