"""Events that a detector flagged, by identity."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
from psycopg2 import sql

from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import StreamSpec, anomaly_column, anomaly_spec

__all__ = ["flagged"]


def flagged(
    session: Session,
    schema: str,
    spec: StreamSpec,
    since: datetime | None,
    until: datetime | None,
) -> pd.DataFrame | None:
    """Return time and identity of flagged events; None where none was ever scored."""
    name = anomaly_spec(spec).table
    columns = session.names_of(f'"{schema}"."{name}"')
    keys = [spec.time.field, *spec.identity_fields]
    if not columns or not set(keys) <= set(columns):
        return None
    table = sql.Identifier(schema, name)
    flag, stream, time = map(
        sql.Identifier,
        (
            anomaly_column(spec, "flagged"),
            anomaly_column(spec, "stream"),
            spec.time.field,
        ),
    )
    values = {"stream": spec.name, "since": since, "until": until}
    if not session.value(
        sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} = %(stream)s)").format(
            table, stream
        ),
        values,
    ):
        return None
    rows = session.rows(
        sql.SQL(
            "SELECT DISTINCT {} FROM {} WHERE {} AND {} = %(stream)s "
            "AND {time} >= coalesce(%(since)s, '-infinity'::timestamptz) "
            "AND {time} < coalesce(%(until)s, 'infinity'::timestamptz)"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, keys)),
            table,
            flag,
            stream,
            time=time,
        ),
        values,
    )
    frame = pd.DataFrame(rows, columns=keys)
    times = pd.to_datetime(frame[spec.time.field], utc=True)
    frame[spec.time.field] = times.astype("datetime64[us, UTC]")
    for name in spec.identity_fields:
        frame[name] = frame[name].astype("str")
    return frame
