"""The rows of one window: all of them, or whole series of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
from psycopg2 import sql

from rtmlops_lib.store.postgres.reading import chosen, frame
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import StreamSpec, prediction_spec

__all__ = ["HASHED", "predicted_rows", "window_rows"]

# A table that grew a moment ago looks empty to the planner: it would then compare each
# row of one side with each of the other.
HASHED = "BEGIN READ ONLY; SET LOCAL enable_nestloop = off"


def window_rows(
    session: Session,
    schema: str,
    spec: StreamSpec,
    columns: Sequence[str],
    since: datetime,
    until: datetime,
    one_series_in: int,
) -> pd.DataFrame:
    """Return events of a window, of one series in so many."""
    wanted = chosen(spec, columns)
    query = sql.SQL(
        "SELECT {columns} FROM {table} AS e WHERE e.{time} >= %(since)s "
        "AND e.{time} < %(until)s AND {sampled}"
    ).format(
        columns=_columns(wanted),
        table=sql.Identifier(schema, spec.table),
        time=sql.Identifier(spec.time.field),
        sampled=_sampled(spec, one_series_in),
    )
    return frame(wanted, session.rows(query, {"since": since, "until": until}))


def predicted_rows(
    session: Session,
    schema: str,
    spec: StreamSpec,
    model_name: str,
    role: str,
    version: int,
    since: datetime,
    until: datetime,
    one_series_in: int,
) -> pd.DataFrame:
    """Return time, series, target and ``predicted`` of a window's events.

    Only events that this version predicted in this role, and whose target is known.
    """
    target = spec.target or ""
    wanted = chosen(spec, [spec.time.field, *spec.series_key, target])
    keys = (spec.time.field, *spec.identity_fields)
    query = sql.SQL(
        "SELECT {columns}, p.predicted FROM {events} AS e JOIN {predictions} AS p "
        "ON {same} WHERE e.{time} >= %(since)s AND e.{time} < %(until)s "
        "AND p.{time} >= %(since)s AND p.{time} < %(until)s "
        "AND p.model_name = %(model)s AND p.role = %(role)s "
        "AND p.model_version = %(version)s AND e.{target} IS NOT NULL AND {sampled}"
    ).format(
        columns=_columns(wanted),
        events=sql.Identifier(schema, spec.table),
        predictions=sql.Identifier(schema, prediction_spec(spec).table),
        same=sql.SQL(" AND ").join(
            sql.SQL("e.{k} = p.{k}").format(k=sql.Identifier(name)) for name in keys
        ),
        time=sql.Identifier(spec.time.field),
        target=sql.Identifier(target),
        sampled=_sampled(spec, one_series_in),
    )
    session.execute(HASHED)
    rows = session.rows(
        query,
        {
            "since": since,
            "until": until,
            "model": model_name,
            "role": role,
            "version": version,
        },
    )
    session.execute("COMMIT")
    return frame({**wanted, "predicted": "double precision"}, rows)


def _columns(wanted: dict[str, str]) -> sql.Composable:
    # Instants travel as microseconds, as everywhere.
    return sql.SQL(", ").join(
        sql.SQL("(extract(epoch FROM e.{c}) * 1000000)::bigint").format(
            c=sql.Identifier(name)
        )
        if kind == "timestamp with time zone"
        else sql.SQL("e.{}").format(sql.Identifier(name))
        for name, kind in wanted.items()
    )


def _sampled(spec: StreamSpec, one_in: int) -> sql.Composable:
    # Whole series: rows taken singly would not show how errors depend on each other.
    if one_in <= 1:
        return sql.SQL("true")
    return sql.SQL("mod(abs(hashtext(concat_ws('/', {}))::bigint), {}) = 0").format(
        sql.SQL(", ").join(sql.Identifier("e", name) for name in spec.series_key),
        sql.Literal(one_in),
    )
