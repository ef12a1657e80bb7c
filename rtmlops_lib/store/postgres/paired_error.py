"""What two models said of the same events, held against the truth."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
from psycopg2 import sql

from rtmlops_lib.errors import UsageError
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.postgres.window_rows import HASHED
from rtmlops_lib.streams import StreamSpec, prediction_spec

__all__ = ["paired_error"]

_NAMES = ("block", "rows", "first", "second")


def paired_error(
    session: Session,
    schema: str,
    spec: StreamSpec,
    *,
    model_name: str,
    first: tuple[str, int],
    second: tuple[str, int],
    since: datetime,
    until: datetime,
    block_seconds: float,
) -> pd.DataFrame:
    """Return sums of absolute percentage errors by block of time.

    Parameters
    ----------
    first, second : (str, int)
        Role and version of each side; only events that both predicted count.

    Returns
    -------
    DataFrame
        ``block`` (microseconds since 1970, its beginning), ``rows``, ``first``,
        ``second``, in order of time.
    """
    query = question(schema, spec)
    session.execute(HASHED)
    rows = session.rows(
        query,
        {
            "block": block_seconds,
            "since": since,
            "until": until,
            "name": model_name,
            "role": first[0],
            "version": first[1],
            "other_role": second[0],
            "other_version": second[1],
        },
    )
    session.execute("COMMIT")
    return pd.DataFrame(rows, columns=list(_NAMES))


def question(schema: str, spec: StreamSpec) -> sql.Composed:
    """Return the query itself."""
    if spec.target is None:
        raise UsageError(f"stream {spec.name!r} has no target")
    keys = [spec.time.field, *spec.identity_fields]
    # The floor is that of models.scores.percentage_errors: one reading of a server
    # that was off must not outweigh all others. Both sides come from one scan: of a
    # table that grew a moment ago the planner knows too little to join it to itself;
    # and it would ask for the floor again with each pair.
    return sql.SQL(
        "WITH size AS MATERIALIZED "
        "(SELECT greatest(0.01 * percentile_cont(0.5) WITHIN GROUP "
        "(ORDER BY abs({target})), 1e-12) AS floor FROM {events} "
        "WHERE {time} >= %(since)s AND {time} < %(until)s), "
        "pairs AS (SELECT {keys}, "
        "max(predicted) FILTER (WHERE role = %(role)s "
        "AND model_version = %(version)s) AS a, "
        "max(predicted) FILTER (WHERE role = %(other_role)s "
        "AND model_version = %(other_version)s) AS b FROM {predictions} "
        "WHERE {time} >= %(since)s AND {time} < %(until)s AND model_name = %(name)s "
        "AND role IN (%(role)s, %(other_role)s) GROUP BY {keys}) "
        "SELECT (floor(extract(epoch FROM e.{time}) / %(block)s) * %(block)s * 1000000)"
        "::bigint AS block, count(*) AS rows, "
        "sum(abs(p.a - e.{target}) / greatest(abs(e.{target}), floor)), "
        "sum(abs(p.b - e.{target}) / greatest(abs(e.{target}), floor)) "
        "FROM size, pairs p JOIN {events} e ON {same} "
        "WHERE p.a IS NOT NULL AND p.b IS NOT NULL "
        "AND e.{time} >= %(since)s AND e.{time} < %(until)s "
        "AND e.{target} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).format(
        time=sql.Identifier(spec.time.field),
        target=sql.Identifier(spec.target),
        predictions=sql.Identifier(schema, prediction_spec(spec).table),
        events=sql.Identifier(schema, spec.table),
        keys=sql.SQL(", ").join(map(sql.Identifier, keys)),
        same=sql.SQL(" AND ").join(
            sql.SQL("e.{k} = p.{k}").format(k=sql.Identifier(name)) for name in keys
        ),
    )
