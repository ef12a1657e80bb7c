"""What a fresh stack needs before services start: database, tables, topics."""

from __future__ import annotations

import psycopg2
from psycopg2 import sql

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.settings import Settings
from rtmlops_lib.stack._postgres import DATABASE, ROLE, PostgresPart
from rtmlops_lib.streams import builtin_specs

__all__ = ["bootstrap", "ensure_database"]


def ensure_database(part: PostgresPart) -> None:
    """Create the database, with TimescaleDB where it can be had, unless it is there."""
    _run(
        part.url_of("postgres"),
        sql.SQL("SELECT 1 FROM pg_database WHERE datname = {}").format(
            sql.Literal(DATABASE)
        ),
        sql.SQL("CREATE DATABASE {} OWNER {}").format(
            sql.Identifier(DATABASE), sql.Identifier(ROLE)
        ),
    )
    if part.binaries.timescaledb:
        _run(
            part.url,
            sql.SQL("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"),
            sql.SQL("CREATE EXTENSION timescaledb"),
        )


def _run(url: str, question: sql.Composable, unless: sql.Composable) -> None:
    try:
        connection = psycopg2.connect(
            url, connect_timeout=5, options="-c statement_timeout=60000"
        )
    except psycopg2.OperationalError as error:
        raise DependencyUnavailable(
            f"PostgreSQL does not answer: {str(error).strip()}",
            remedy="see 'rtmlops logs postgres'",
        ) from error
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(question)
            if cursor.fetchone() is None:
                cursor.execute(unless)
    finally:
        connection.close()


def bootstrap(settings: Settings, *, practice: bool) -> None:
    """Create the topics and tables of the built-in streams where they are missing.

    Parameters
    ----------
    settings : Settings
        Where the stack's Kafka and database are.
    practice : bool
        Whether to mark the database as one that chapters may write to.
    """
    from rtmlops_lib.store.factory import open_store
    from rtmlops_lib.transport.admin import TopicAdmin

    specs = list(builtin_specs().values())
    prefix = settings.topic_prefix
    with TopicAdmin(settings) as admin:
        admin.ensure_topics([spec.evolve(topic=prefix + spec.topic) for spec in specs])
    store = open_store(settings)
    try:
        store.migrate(specs)
        if practice:
            store.mark_practice("rtmlops up")
    finally:
        store.close()
