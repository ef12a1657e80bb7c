"""How far the served predictions were from what came to be."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
from psycopg2 import sql

from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import StreamSpec, prediction_spec

__all__ = ["live_error"]

# Of so many of the newest values the median says what is near to zero: more of them
# would not change it, and all of them would have to be sorted.
SCALE_ROWS = 10_000
_QUERY = """
    WITH scale AS (
        SELECT greatest(0.01 * percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(y)),
                        1e-12) AS floor
        FROM (SELECT {target}::double precision AS y FROM {events}
              WHERE {time} >= %(since)s AND {time} < {until}
                AND {target} IS NOT NULL
              ORDER BY {time} DESC LIMIT {scale_rows}) AS newest
    )
    SELECT p.role, p.model_version, {window} AS window_start, count(*) AS rows,
           avg(abs(e.{target} - p.predicted)) AS mae,
           avg(abs(e.{target} - p.predicted)
               / greatest(abs(e.{target}), (SELECT floor FROM scale))) AS mape,
           sqrt(avg((e.{target} - p.predicted) ^ 2)) AS rmse,
           avg(p.predicted - e.{target}) AS bias,
           min(p.{time}) AS first_time, max(p.{time}) AS last_time
    FROM {predictions} AS p JOIN {events} AS e ON {same}
    WHERE p.model_name = %(model)s AND e.{target} IS NOT NULL
      AND p.{time} >= %(since)s AND p.{time} < {until}
      AND e.{time} >= %(since)s AND e.{time} < {until}
    GROUP BY 1, 2, 3 ORDER BY 3, 1, 2
"""
_NUMBERS = ("mae", "mape", "rmse", "bias")
_TIMES = ("window_start", "first_time", "last_time")


def live_error(
    session: Session,
    schema: str,
    spec: StreamSpec,
    model_name: str,
    since: datetime,
    until: datetime | None,
    window_seconds: float | None,
) -> pd.DataFrame:
    """Return one row a role, version and window; see ``PostgresStore.live_error``."""
    time = sql.Identifier(spec.time.field)
    window: sql.Composable = sql.SQL("%(since)s::timestamptz")
    if window_seconds is not None:
        window = sql.SQL(
            "date_bin(%(window)s * interval '1 second', p.{}, "
            "'2000-01-01 00:00:00+00'::timestamptz)"
        ).format(time)
    query = sql.SQL(_QUERY).format(
        target=sql.Identifier(spec.target or ""),
        time=time,
        events=sql.Identifier(schema, spec.table),
        predictions=sql.Identifier(schema, prediction_spec(spec).table),
        same=sql.SQL(" AND ").join(
            sql.SQL("e.{c} = p.{c}").format(c=sql.Identifier(name))
            for name in (*spec.identity_fields, spec.time.field)
        ),
        window=window,
        until=sql.SQL("coalesce(%(until)s, 'infinity'::timestamptz)"),
        scale_rows=sql.Literal(SCALE_ROWS),
    )
    rows = session.rows(
        query,
        {
            "model": model_name,
            "since": since,
            "until": until,
            "window": window_seconds,
        },
    )
    frame = pd.DataFrame(rows, columns=list(session.names()))
    for name in _TIMES:
        times = pd.to_datetime(frame[name], utc=True)
        frame[name] = times.astype("datetime64[us, UTC]")
    kinds = dict.fromkeys(_NUMBERS, "float64")
    return frame.astype(kinds | {"model_version": "int64", "rows": "int64"})
