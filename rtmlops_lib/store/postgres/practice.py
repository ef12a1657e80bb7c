"""Small shared tables: the practice marker and the replays of dead letters."""

from __future__ import annotations

import re
from typing import Any

from psycopg2 import sql

from rtmlops_lib.errors import UsageError
from rtmlops_lib.store.postgres.session import Session

__all__ = ["drop_schema", "is_marked", "mark", "record_replay", "replay_counts"]

CHAPTER = re.compile(r"ch[0-9]{2}")


def _in(schema: str, text: str) -> sql.Composable:
    return sql.SQL(text).format(schema=sql.Identifier(schema))


def mark(session: Session, schema: str, written_by: str) -> None:
    """Write the marker."""
    session.execute(
        _in(
            schema,
            "INSERT INTO {schema}.stack_marker (written_by) VALUES (%s) "
            "ON CONFLICT (only_row) DO NOTHING",
        ),
        (written_by,),
    )


def is_marked(session: Session, schema: str) -> bool:
    """Return whether the marker is there; a schema without the table has none."""
    table = f'"{schema}".stack_marker'
    if session.value("SELECT to_regclass(%s)", (table,)) is None:
        return False
    query = "SELECT EXISTS (SELECT FROM {schema}.stack_marker)"
    return bool(session.value(_in(schema, query)))


def drop_schema(session: Session, marked: str, schema: str) -> None:
    """Drop a chapter's schema, continuous aggregates first."""
    if not CHAPTER.fullmatch(schema):
        raise UsageError(
            f"only a chapter's schema (ch01 … ch99) is ever dropped, not {schema!r}",
            remedy="drop it by hand if you mean it",
        )
    if not is_marked(session, marked):
        info = session.raw.info
        raise UsageError(
            f"database {info.dbname!r} at {info.host}:{info.port} has no practice "
            "marker, so nothing in it is dropped",
            remedy="let 'rtmlops up' start a stack for the chapters",
        )
    # One by one, hours before minutes: a cascade through all of them at once meets
    # TimescaleDB's catalogue half emptied.
    if session.value(
        "SELECT to_regclass('timescaledb_information.continuous_aggregates')"
    ):
        views = session.rows(
            "SELECT view_name FROM timescaledb_information.continuous_aggregates "
            "WHERE view_schema = %s ORDER BY view_name LIKE %s",
            (schema, "%\\_1m"),
        )
        for (view,) in views:
            session.execute(
                sql.SQL("DROP MATERIALIZED VIEW IF EXISTS {}").format(
                    sql.Identifier(schema, view)
                )
            )
    session.execute(
        sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
    )


def record_replay(
    session: Session, schema: str, letter_key: str, target_topic: str
) -> int:
    """Add one row; two at once get two numbers."""
    values: dict[str, Any] = {"key": letter_key, "topic": target_topic}
    session.execute("BEGIN")
    session.execute("SELECT pg_advisory_xact_lock(hashtext(%(key)s))", values)
    count = session.value(
        _in(
            schema,
            "INSERT INTO {schema}.dlq_replays (letter_key, replay_count, target_topic) "
            "SELECT %(key)s, coalesce(max(replay_count), 0) + 1, %(topic)s "
            "FROM {schema}.dlq_replays WHERE letter_key = %(key)s "
            "RETURNING replay_count",
        ),
        values,
    )
    session.execute("COMMIT")
    return int(count)


def replay_counts(session: Session, schema: str, keys: list[str]) -> dict[str, int]:
    """Return the number of replays by key; keys without any are absent."""
    query = (
        "SELECT letter_key, max(replay_count) FROM {schema}.dlq_replays "
        "WHERE letter_key = ANY (%s) GROUP BY letter_key"
    )
    return dict(session.rows(_in(schema, query), (keys,)))
