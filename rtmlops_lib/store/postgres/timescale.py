"""What TimescaleDB does for a stream's table: pure functions that return SQL.

Its own jobs compress. They neither refresh nor drop: two refreshes of one aggregate
at a time leave buckets twice (2.22.1), and retention must wait for the roll-ups; so
the store's maintenance, which runs once at a time, does both.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2 import sql

from rtmlops_lib.store.postgres.ddl import aggregates, averages
from rtmlops_lib.streams import StreamSpec

__all__ = ["create_aggregates", "make_hypertable"]

CHUNK = "1 day"
COMPRESS_AFTER = "7 days"


def make_hypertable(spec: StreamSpec, schema: str, functions: str) -> sql.Composable:
    """Return the statements that turn the table into compressed daily chunks."""
    table = sql.Identifier(schema, spec.table)
    return sql.SQL(
        "SELECT {create}({relation}, {time}, chunk_time_interval => {chunk}::interval, "
        "create_default_indexes => false, migrate_data => true);"
        "ALTER TABLE {table} SET (timescaledb.compress, "
        "timescaledb.compress_segmentby = {segments}, "
        "timescaledb.compress_orderby = {order});"
        "SELECT {compress}({relation}, {after}::interval)"
    ).format(
        create=sql.Identifier(functions, "create_hypertable"),
        compress=sql.Identifier(functions, "add_compression_policy"),
        relation=_relation(schema, spec.table),
        table=table,
        time=sql.Literal(spec.time.field),
        chunk=sql.Literal(CHUNK),
        segments=sql.Literal(", ".join(spec.series_key)),
        order=sql.Literal(spec.time.field),
        after=sql.Literal(COMPRESS_AFTER),
    )


def create_aggregates(
    spec: StreamSpec, schema: str, functions: str, fields: Sequence[str]
) -> list[sql.Composable]:
    """Return the hierarchical continuous aggregates.

    They show what is not yet rolled up as well.
    """
    statements: list[sql.Composable] = []
    for suffix, width, source, time, of in (
        ("1m", "1 minute", spec.table, spec.time.field, "events"),
        ("1h", "1 hour", f"{spec.table}_1m", "bucket", "rollup"),
    ):
        view = f"{spec.table}_{suffix}"
        statements += [
            sql.SQL(
                "CREATE MATERIALIZED VIEW {view} WITH (timescaledb.continuous, "
                "timescaledb.materialized_only = false) AS "
                "SELECT {bucket}({width}::interval, {time}) AS bucket, {keys}, "
                "{aggregates}{averages} FROM {source} GROUP BY 1, {keys} WITH NO DATA"
            ).format(
                view=sql.Identifier(schema, view),
                bucket=sql.Identifier(functions, "time_bucket"),
                width=sql.Literal(width),
                time=sql.Identifier(time),
                keys=sql.SQL(", ").join(map(sql.Identifier, spec.series_key)),
                aggregates=aggregates(fields, of_rollup=of == "rollup"),
                averages=averages(fields, of=of),
                source=sql.Identifier(schema, source),
            ),
        ]
    return statements


def _relation(schema: str, name: str) -> sql.Composable:
    # Both parts match [a-z0-9_]+, yet a reserved word among them would need quotes.
    return sql.SQL("{}::regclass").format(sql.Literal(f'"{schema}"."{name}"'))
