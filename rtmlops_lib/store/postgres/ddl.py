"""Tables and roll-ups derived from a spec: pure functions that return SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg2 import sql

from rtmlops_lib.errors import SpecError
from rtmlops_lib.store.postgres.table import column_types
from rtmlops_lib.streams import StreamSpec

__all__ = [
    "add_column",
    "aggregates",
    "create_rollup_tables",
    "create_rollup_views",
    "create_table",
    "check_names",
    "check_table",
    "grouped",
    "rollup_columns",
]

NUMERIC = ("double precision", "bigint")


def create_table(spec: StreamSpec, schema: str) -> list[sql.Composable]:
    """Return the statements for a table that does not exist.

    Only the identity is NOT NULL: which fields an event must have is the codec's
    affair, so that a field may become optional without touching the table.
    """
    identity = [*spec.identity_fields, spec.time.field]
    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(name),
            sql.SQL(kind),
            sql.SQL(
                " NOT NULL DEFAULT now()"
                if name == "ingest_time"
                else " NOT NULL"
                if name in (*identity, "kafka_partition", "kafka_offset")
                else ""
            ),
        )
        for name, kind in column_types(spec).items()
    ]
    return [
        sql.SQL("CREATE TABLE {} ({}, CONSTRAINT {} PRIMARY KEY ({}))").format(
            sql.Identifier(schema, spec.table),
            sql.SQL(", ").join(columns),
            sql.Identifier(f"{spec.table}_identity"),
            _names(identity),
        ),
        # Events arrive nearly in order of time: a few bytes per megabyte find a range.
        sql.SQL(
            "CREATE INDEX {} ON {} USING brin ({}) "
            "WITH (pages_per_range = 32, autosummarize = on)"
        ).format(
            sql.Identifier(f"{spec.table}_time_brin"),
            sql.Identifier(schema, spec.table),
            sql.Identifier(spec.time.field),
        ),
    ]


def add_column(spec: StreamSpec, schema: str, name: str, kind: str) -> sql.Composable:
    """Return the statement that adds a nullable column."""
    return sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
        sql.Identifier(schema, spec.table), sql.Identifier(name), sql.SQL(kind)
    )


def check_names(spec: StreamSpec) -> None:
    """Raise SpecError where a roll-up would have two columns of one name."""
    if not spec.rollups:
        return
    taken = ["bucket", "n"]
    taken += [f"{f}_{s}" for f in spec.numeric_fields for s in _SUFFIXES]
    clash = sorted(set(taken) & set(spec.series_key))
    if clash:
        raise SpecError(
            f"stream {spec.name!r}: the roll-ups of table {spec.table!r} need the "
            f"column {clash[0]!r}, which is also a series key",
            remedy="rename the field, or set rollups: false",
        )


def check_table(
    spec: StreamSpec, found: Mapping[str, str], identity: Sequence[str]
) -> dict[str, str]:
    """Compare a spec with its table; return the columns to be added.

    Raises
    ------
    SpecError
        For a changed type or identity, by name.
    """
    wanted = column_types(spec)
    for name, kind in wanted.items():
        if name in found and found[name] != kind:
            raise SpecError(
                f"stream {spec.name!r}: field {name!r} needs {kind}, but column "
                f"{spec.table}.{name} is {found[name]}",
                remedy="keep the field's type, or give the new one another name",
            )
    if set(identity) != set(spec.identity):
        raise SpecError(
            f"stream {spec.name!r}: identity is {sorted(spec.identity)}, but table "
            f"{spec.table!r} was made with {sorted(identity)}",
            remedy="keep the identity, or give the stream another table",
        )
    return {name: kind for name, kind in wanted.items() if name not in found}


_SUFFIXES = ("n", "sum", "min", "max", "avg")


def rollup_columns(spec: StreamSpec, fields: Sequence[str]) -> dict[str, str]:
    """Return the stored columns of a roll-up with their types (averages are not)."""
    types = column_types(spec)
    columns = {"bucket": "timestamp with time zone"}
    columns |= {name: "text" for name in spec.series_key}
    columns["n"] = "bigint"
    for name in fields:
        columns[f"{name}_n"] = "bigint"
        columns[f"{name}_sum"] = "double precision"
        columns[f"{name}_min"] = columns[f"{name}_max"] = types[name]
    return columns


def aggregates(fields: Sequence[str], *, of_rollup: bool = False) -> sql.Composable:
    """Return ``n`` and each field's count, sum, minimum and maximum."""
    if of_rollup:
        parts = ["sum(n)::bigint AS n"]
        field = (
            "sum({f_n})::bigint AS {f_n}, sum({f_sum}) AS {f_sum}, "
            "min({f_min}) AS {f_min}, max({f_max}) AS {f_max}"
        )
    else:
        parts = ["count(*) AS n"]
        field = (
            "count({f}) AS {f_n}, sum({f}::double precision) AS {f_sum}, "
            "min({f}) AS {f_min}, max({f}) AS {f_max}"
        )
    return sql.SQL(", ").join(
        [*map(sql.SQL, parts)]
        + [sql.SQL(field).format(**_parts(name)) for name in fields]
    )


def averages(fields: Sequence[str], *, of: str) -> sql.Composable:
    """Return each field's average, from stored columns or (``of``) from events."""
    texts = {
        "stored": "{f_sum} / nullif({f_n}, 0) AS {f_avg}",
        "events": "sum({f}::double precision) / nullif(count({f}), 0) AS {f_avg}",
        "rollup": "sum({f_sum}) / nullif(sum({f_n}), 0)::double precision AS {f_avg}",
    }
    return sql.SQL("").join(
        sql.SQL(", " + texts[of]).format(**_parts(name)) for name in fields
    )


def grouped(
    spec: StreamSpec, fields: Sequence[str], minutes: int, source: sql.Composable
) -> sql.Composable:
    """Return a query over buckets of ``source``: events, or minutes for an hour."""
    hourly = minutes > 1
    return sql.SQL(
        "SELECT {bucket} AS bucket, {keys}, {aggregates} FROM {source} "
        "GROUP BY 1, {keys}"
    ).format(
        bucket=sql.SQL("date_trunc({}, {}, 'UTC')").format(
            sql.Literal("hour" if hourly else "minute"),
            sql.Identifier("bucket" if hourly else spec.time.field),
        ),
        keys=_names(spec.series_key),
        aggregates=aggregates(fields, of_rollup=hourly),
        source=source,
    )


def create_rollup_tables(
    spec: StreamSpec, schema: str, fields: Sequence[str]
) -> list[sql.Composable]:
    """Return the tables that keep rolled-up rows on plain PostgreSQL."""
    statements: list[sql.Composable] = []
    for suffix in ("1m", "1h"):
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}{}").format(
                sql.Identifier(name),
                sql.SQL(kind),
                sql.SQL(
                    " NOT NULL DEFAULT 0" if name == "n" or name.endswith("_n") else ""
                ),
            )
            for name, kind in rollup_columns(spec, fields).items()
        )
        statements.append(
            sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY (bucket, {}))").format(
                sql.Identifier(schema, f"{spec.table}_{suffix}_data"),
                columns,
                _names(spec.series_key),
            )
        )
    return statements


def create_rollup_views(
    spec: StreamSpec, schema: str, fields: Sequence[str]
) -> list[sql.Composable]:
    """Return the views over rolled-up rows plus the tail not yet rolled up."""
    stored = _names([*rollup_columns(spec, fields)])
    statements: list[sql.Composable] = []
    for suffix, minutes, until, source, time in (
        ("1m", 1, "minutes_until", spec.table, spec.time.field),
        ("1h", 60, "hours_until", f"{spec.table}_1m", "bucket"),
    ):
        mark = sql.SQL("(SELECT {} FROM {} WHERE table_name = {})").format(
            sql.Identifier(until),
            sql.Identifier(schema, "rollup_state"),
            sql.Literal(spec.table),
        )
        tail = sql.SQL("{} WHERE {} >= {}").format(
            sql.Identifier(schema, source), sql.Identifier(time), mark
        )
        statements.append(
            sql.SQL(
                "CREATE OR REPLACE VIEW {view} AS SELECT {order} FROM ("
                "SELECT {stored} FROM {data} WHERE bucket < {mark} "
                "UNION ALL SELECT {stored} FROM ({tail}) AS tail) AS r"
            ).format(
                view=sql.Identifier(schema, f"{spec.table}_{suffix}"),
                order=_view_columns(spec, fields),
                stored=stored,
                data=sql.Identifier(schema, f"{spec.table}_{suffix}_data"),
                mark=mark,
                tail=grouped(spec, fields, minutes, tail),
            )
        )
    return statements


def _view_columns(spec: StreamSpec, fields: Sequence[str]) -> sql.Composable:
    # Each field's columns together and new fields last, as CREATE OR REPLACE demands.
    columns = [*map(sql.Identifier, ("bucket", *spec.series_key, "n"))]
    texts: list[sql.Composable] = list(columns)
    for name in fields:
        texts.append(
            sql.SQL(
                "{f_n}, {f_sum}, {f_min}, {f_max}, "
                "{f_sum} / nullif({f_n}, 0) AS {f_avg}"
            ).format(**_parts(name))
        )
    return sql.SQL(", ").join(texts)


def _parts(name: str) -> dict[str, sql.Identifier]:
    parts = {f"f_{s}": sql.Identifier(f"{name}_{s}") for s in _SUFFIXES}
    return {"f": sql.Identifier(name), **parts}


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
