"""What happens once a minute: roll up closed buckets, drop what is too old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from psycopg2 import sql

from rtmlops_lib.store.postgres import rollup
from rtmlops_lib.store.postgres.book_retention import BookRetention, drop_old
from rtmlops_lib.store.postgres.capabilities import capabilities
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import StreamSpec

__all__ = ["cutoff", "maintain"]

# Rows deleted in one transaction on plain PostgreSQL: under a second, few locks.
DELETE_ROWS = 20_000


def maintain(
    session: Session,
    schema: str,
    specs: Sequence[StreamSpec],
    keep: BookRetention,
) -> dict[str, int]:
    """Do it for all streams; ``{"skipped": 1}`` when another one is at it."""
    lock = "(hashtext('rtmlops maintain'), hashtext(%s))"
    if not session.value(f"SELECT pg_try_advisory_lock{lock}", (schema,)):
        return {"skipped": 1}
    counts = {"buckets": 0, "rows_dropped": 0, "chunks_dropped": 0}
    functions = capabilities(session).timescale_schema
    try:
        now: datetime = session.value("SELECT now()")
        for spec in specs:
            oldest = cutoff(spec, now)
            hyper = functions is not None and _has_chunks(session, schema, spec.table)
            if spec.rollups:
                # All that has not been dropped before, also after a break that was
                # longer than the retention: what goes next must be in the roll-ups.
                dropped = _dropped_before(session, schema, spec)
                if rollup.is_by_hand(session, schema, spec):
                    counts["buckets"] += rollup.roll_up(
                        session, schema, spec, now, dropped
                    )
                elif hyper and functions is not None:
                    rollup.refresh(session, schema, spec, functions, now, dropped)
            if oldest is None:
                continue
            # Noted first: from here on no roll-up is made of what is half gone.
            _note_dropped(session, schema, spec, oldest)
            if hyper and functions is not None:
                counts["chunks_dropped"] += _drop_chunks(
                    session, schema, spec, functions, oldest
                )
            else:
                counts["rows_dropped"] += _delete(session, schema, spec, oldest)
        counts |= drop_old(session, schema, keep)
    finally:
        if not session.raw.closed:
            session.execute(f"SELECT pg_advisory_unlock{lock}", (schema,))
    return counts


def cutoff(spec: StreamSpec, now: datetime) -> datetime | None:
    """Return the time before which events are dropped: always midnight in UTC.

    TimescaleDB drops whole days; plain PostgreSQL does as it does.

    Examples
    --------
    >>> from datetime import UTC
    >>> from rtmlops_lib.streams import builtin_specs
    >>> spec = builtin_specs()["datacenter"].evolve(retention_days=1.5)
    >>> str(cutoff(spec, datetime(2025, 9, 30, 13, tzinfo=UTC)))
    '2025-09-29 00:00:00+00:00'
    """
    if spec.retention_days is None:
        return None
    oldest = now - timedelta(days=spec.retention_days)
    return oldest.replace(hour=0, minute=0, second=0, microsecond=0)


def _dropped_before(session: Session, schema: str, spec: StreamSpec) -> datetime | None:
    dropped: datetime | None = session.value(
        sql.SQL(
            "SELECT dropped_before FROM {}.retention_state WHERE table_name = %s"
        ).format(sql.Identifier(schema)),
        (spec.table,),
    )
    return dropped


def _note_dropped(
    session: Session, schema: str, spec: StreamSpec, oldest: datetime
) -> None:
    session.execute(
        sql.SQL(
            "INSERT INTO {}.retention_state AS s VALUES (%s, %s) "
            "ON CONFLICT (table_name) DO UPDATE SET dropped_before = "
            "greatest(s.dropped_before, excluded.dropped_before)"
        ).format(sql.Identifier(schema)),
        (spec.table, oldest),
    )


def _has_chunks(session: Session, schema: str, table: str) -> bool:
    return bool(
        session.value(
            "SELECT true FROM timescaledb_information.hypertables "
            "WHERE hypertable_schema = %s AND hypertable_name = %s",
            (schema, table),
        )
    )


def _drop_chunks(
    session: Session,
    schema: str,
    spec: StreamSpec,
    functions: str,
    oldest: datetime,
) -> int:
    query = sql.SQL("SELECT {}({}::regclass, older_than => %s::timestamptz)").format(
        sql.Identifier(functions, "drop_chunks"),
        sql.Literal(f'"{schema}"."{spec.table}"'),
    )
    return len(session.rows(query, (oldest,)))


def _delete(session: Session, schema: str, spec: StreamSpec, oldest: datetime) -> int:
    query = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY("
        "SELECT ctid FROM {table} WHERE {time} < %s LIMIT {rows}))"
    ).format(
        table=sql.Identifier(schema, spec.table),
        time=sql.Identifier(spec.time.field),
        rows=sql.Literal(DELETE_ROWS),
    )
    total = 0
    while deleted := session.execute(query, (oldest,)):
        total += deleted
        if deleted < DELETE_ROWS:
            break
    return total
