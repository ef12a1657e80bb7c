"""Bring a schema up to date: numbered SQL first, then what the specs say."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

from psycopg2 import sql

from rtmlops_lib.errors import ConfigurationFault, SpecError
from rtmlops_lib.store.postgres import ddl, timescale
from rtmlops_lib.store.postgres.capabilities import capabilities
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.postgres.table import COLUMNS
from rtmlops_lib.streams import StreamSpec

__all__ = ["migrate", "numbered_migrations"]

_IDENTITY = """
    SELECT a.attname FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_attribute AS a
      ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = to_regclass(%s) AND i.indisprimary
"""


def numbered_migrations() -> list[tuple[str, str]]:
    """Return the shared tables' migrations in order: (name, text)."""
    folder = files("rtmlops_lib.store.migrations")
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if re.fullmatch(r"\d{4}_\w+\.sql", entry.name)
    )
    return [(n, (folder / n).read_text(encoding="utf-8")) for n in names]


def migrate(session: Session, schema: str, specs: Sequence[StreamSpec]) -> list[str]:
    """Do in one transaction what is missing; return what was done, in words."""
    for spec in specs:
        ddl.check_names(spec)
    session.execute("BEGIN")
    # One at a time a schema; released with the transaction.
    session.execute(
        "SELECT pg_advisory_xact_lock(hashtext('rtmlops migrate'), hashtext(%s))",
        (schema,),
    )
    done = _apply_numbered(session, schema, numbered_migrations())
    for spec in specs:
        done += _derive(session, schema, spec)
    session.execute("COMMIT")
    session.memo.clear()
    return done


def _apply_numbered(
    session: Session, schema: str, migrations: Sequence[tuple[str, str]]
) -> list[str]:
    identifier = sql.Identifier(schema)
    # Asked first: CREATE … IF NOT EXISTS needs the right to create all the same.
    if session.value("SELECT to_regnamespace(%s)", (f'"{schema}"',)) is None:
        session.execute(sql.SQL("CREATE SCHEMA {}").format(identifier))
    session.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {}.schema_migrations (name text PRIMARY KEY, "
            "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        ).format(identifier)
    )
    known = dict(
        session.rows(
            sql.SQL("SELECT name, checksum FROM {}.schema_migrations").format(
                identifier
            )
        )
    )
    done = []
    for name, text in migrations:
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if name in known:
            if known[name] != checksum:
                raise ConfigurationFault(
                    f"migration {name} was edited after it was applied to schema "
                    f"{schema!r}",
                    remedy="restore the file and put the change into a new migration",
                )
            continue
        session.execute(sql.SQL(text).format(schema=identifier))
        session.execute(
            sql.SQL(
                "INSERT INTO {}.schema_migrations (name, checksum) VALUES (%s, %s)"
            ).format(identifier),
            (name, checksum),
        )
        done.append(f"applied {name}")
    newer = sorted(set(known) - {name for name, _ in migrations})
    if newer:
        raise ConfigurationFault(
            f"schema {schema!r} was migrated by a newer release: {', '.join(newer)}",
            remedy="upgrade rtmlops",
        )
    return done


def _derive(session: Session, schema: str, spec: StreamSpec) -> list[str]:
    relation = f'"{schema}"."{spec.table}"'
    functions = capabilities(session).timescale_schema
    found = dict(session.rows(COLUMNS, (relation,)))
    done = []
    if not found:
        for statement in ddl.create_table(spec, schema):
            session.execute(statement)
        if functions is not None:
            session.execute(timescale.make_hypertable(spec, schema, functions))
        done.append(f"created table {spec.table}")
    else:
        identity = [row[0] for row in session.rows(_IDENTITY, (relation,))]
        for name, kind in ddl.check_table(spec, found, identity).items():
            session.execute(ddl.add_column(spec, schema, name, kind))
            done.append(f"added column {spec.table}.{name}")
    if spec.rollups:
        done += _derive_rollups(session, schema, spec, functions)
    return done


def _is_hypertable(session: Session, schema: str, table: str) -> bool:
    return bool(
        session.value(
            "SELECT true FROM timescaledb_information.hypertables "
            "WHERE hypertable_schema = %s AND hypertable_name = %s",
            (schema, table),
        )
    )


def _derive_rollups(
    session: Session, schema: str, spec: StreamSpec, functions: str | None
) -> list[str]:
    # In the order of the table's own columns, where new fields come last.
    relation = f'"{schema}"."{spec.table}"'
    order = [row[0] for row in session.rows(COLUMNS, (relation,))]
    fields = [name for name in order if name in spec.numeric_fields]
    wanted = ddl.rollup_columns(spec, fields)
    by_hand = _columns(session, schema, f"{spec.table}_1m_data")
    shown = _columns(session, schema, f"{spec.table}_1m")
    _check_series(spec, shown)
    if by_hand or functions is None or not _is_hypertable(session, schema, spec.table):
        return _rollups_by_hand(session, schema, spec, fields, by_hand)
    if wanted.keys() <= shown.keys():
        return []
    if shown:
        # A continuous aggregate cannot learn a column. Made anew it is filled from
        # the events, so it must not be where retention has dropped some of them.
        if spec.retention_days is not None:
            return [
                f"kept roll-ups of {spec.table} without the new fields, since dropped "
                "events could not be rolled up again"
            ]
        for suffix in ("1h", "1m"):
            session.execute(
                sql.SQL("DROP MATERIALIZED VIEW {}").format(
                    sql.Identifier(schema, f"{spec.table}_{suffix}")
                )
            )
    for statement in timescale.create_aggregates(spec, schema, functions, fields):
        session.execute(statement)
    return [f"created roll-ups {spec.table}_1m, {spec.table}_1h"]


def _rollups_by_hand(
    session: Session,
    schema: str,
    spec: StreamSpec,
    fields: Sequence[str],
    found: dict[str, str],
) -> list[str]:
    done = []
    wanted = ddl.rollup_columns(spec, fields)
    if not found:
        for statement in ddl.create_rollup_tables(spec, schema, fields):
            session.execute(statement)
        _mark_all(session, schema, spec)
        done.append(f"created roll-ups {spec.table}_1m, {spec.table}_1h")
    elif missing := [name for name in wanted if name not in found]:
        for suffix in ("1m", "1h"):
            for name in missing:
                session.execute(
                    sql.SQL("ALTER TABLE {} ADD COLUMN {} {}{}").format(
                        sql.Identifier(schema, f"{spec.table}_{suffix}_data"),
                        sql.Identifier(name),
                        sql.SQL(wanted[name]),
                        sql.SQL(" NOT NULL DEFAULT 0" if name.endswith("_n") else ""),
                    )
                )
        done.append(f"added {', '.join(missing)} to the roll-ups of {spec.table}")
    if done:
        for statement in ddl.create_rollup_views(spec, schema, fields):
            session.execute(statement)
    return done


def _mark_all(session: Session, schema: str, spec: StreamSpec) -> None:
    # Rows that were there before the roll-ups. Writers wait at this lock, and those
    # that come after it know of the roll-ups once they connect anew.
    table = sql.Identifier(schema, spec.table)
    session.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table))
    session.execute(
        sql.SQL(
            "INSERT INTO {schema}.rollup_state (table_name) VALUES ({name}) "
            "ON CONFLICT DO NOTHING; "
            "INSERT INTO {schema}.rollup_dirty (table_name, bucket) SELECT DISTINCT "
            "{name}, date_trunc('minute', {time}, 'UTC') FROM {table}"
        ).format(
            schema=sql.Identifier(schema),
            name=sql.Literal(spec.table),
            time=sql.Identifier(spec.time.field),
            table=table,
        )
    )


def _columns(session: Session, schema: str, name: str) -> dict[str, str]:
    return dict(session.rows(COLUMNS, (f'"{schema}"."{name}"',)))


def _check_series(spec: StreamSpec, shown: dict[str, str]) -> None:
    if not shown:
        return
    before_n = list(shown)[1 : list(shown).index("n")]
    if before_n != list(spec.series_key):
        raise SpecError(
            f"stream {spec.name!r}: series_key is {list(spec.series_key)}, but the "
            f"roll-ups of table {spec.table!r} were made with {before_n}",
            remedy="keep the series key, or give the stream another table",
        )
