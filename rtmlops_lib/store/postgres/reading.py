"""The way back out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from psycopg2 import sql

from rtmlops_lib.errors import UsageError
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.postgres.table import column_types
from rtmlops_lib.streams import StreamSpec

__all__ = ["chunks", "frame", "joined", "offsets"]

_INTERNAL = ("attributes", "ingest_time", "kafka_partition", "kafka_offset")
_TIME = "timestamp with time zone"


def offsets(session: Session, schema: str, group: str | None) -> pd.DataFrame:
    """Return ``stream_offsets``."""
    rows = session.rows(
        sql.SQL(
            "SELECT consumer_group, topic, partition, next_offset, epoch, updated_at, "
            "cluster_id, topic_id FROM {}.stream_offsets "
            "WHERE %(group)s::text IS NULL OR consumer_group = %(group)s "
            "ORDER BY consumer_group, topic, partition, updated_at"
        ).format(sql.Identifier(schema)),
        {"group": group},
    )
    table = pd.DataFrame(rows, columns=list(session.names()))
    table["updated_at"] = pd.to_datetime(table["updated_at"], utc=True)
    return table


def chosen(spec: StreamSpec, columns: Sequence[str] | None) -> dict[str, str]:
    """Return the columns to read with their types: time and fields by default.

    Raises
    ------
    UsageError
        For a column that the table does not have.
    """
    types = column_types(spec)
    if columns is None:
        columns = [spec.time.field, *spec.fields]
    unknown = [name for name in columns if name not in types]
    if unknown:
        raise UsageError(
            f"table {spec.table!r} has no column {unknown[0]!r}",
            remedy=f"choose among {', '.join([*spec.fields, *_INTERNAL])}",
        )
    return {name: types[name] for name in columns}


def chunks(
    session: Session,
    schema: str,
    spec: StreamSpec,
    since: datetime | None,
    until: datetime | None,
    columns: Sequence[str] | None,
    chunk_rows: int,
) -> Iterator[pd.DataFrame]:
    """Yield stored events in order of time, from one snapshot."""
    wanted = chosen(spec, columns)
    time = sql.Identifier(spec.time.field)
    conditions: list[sql.Composable] = [sql.SQL("true")]
    values: list[datetime] = []
    for bound, sign in ((since, ">="), (until, "<")):
        if bound is not None:
            conditions.append(sql.SQL("{} {} %s").format(time, sql.SQL(sign)))
            values.append(_aware(bound))
    # Instants travel as microseconds: parsing them as text costs ten times as much.
    selected = [
        sql.SQL("(extract(epoch FROM {c}) * 1000000)::bigint").format(
            c=sql.Identifier(name)
        )
        if kind == _TIME
        else sql.SQL("{}::text").format(sql.Identifier(name))
        if kind == "jsonb"
        else sql.Identifier(name)
        for name, kind in wanted.items()
    ]
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
        sql.SQL(", ").join(selected),
        sql.Identifier(schema, spec.table),
        sql.SQL(" AND ").join(conditions),
        sql.SQL(", ").join([time, *map(sql.Identifier, spec.identity_fields)]),
    )
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    cursor = sql.SQL("DECLARE rows_of_stream NO SCROLL CURSOR FOR {}").format(query)
    session.execute(cursor, values)
    fetch = sql.SQL("FETCH {} FROM rows_of_stream").format(sql.Literal(chunk_rows))
    while rows := session.rows(fetch):
        yield frame(wanted, rows)
        if len(rows) < chunk_rows:
            break
    session.execute("COMMIT")


def frame(types: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return rows as a DataFrame of the columns' own types, whatever is NULL."""
    data: dict[str, Any] = {}
    values = list(zip(*rows, strict=True)) or [()] * len(types)
    for (name, kind), column in zip(types.items(), values, strict=True):
        if kind == _TIME:
            micros = np.array(
                [np.iinfo(np.int64).min if v is None else v for v in column], np.int64
            )
            data[name] = pd.Series(micros.view("datetime64[us]")).dt.tz_localize(UTC)
        elif kind == "double precision":
            data[name] = np.array(column, np.float64)
        elif kind in ("bigint", "integer"):
            data[name] = _integers(column, "int64" if kind == "bigint" else "int32")
        elif kind == "boolean":
            data[name] = pd.array(list(column), dtype="boolean")
        else:
            data[name] = pd.array(list(column), dtype="str")
    return pd.DataFrame(data)


def _integers(column: Sequence[int | None], kind: str) -> Any:
    if None in column:
        return pd.array(list(column), dtype=kind.capitalize())
    return np.array(column, kind)


def joined(
    spec: StreamSpec, columns: Sequence[str] | None, parts: Iterable[pd.DataFrame]
) -> pd.DataFrame:
    """Return one DataFrame of all parts, with its columns even where none came."""
    wanted = chosen(spec, columns)
    found = list(parts) or [frame(wanted, [])]
    return pd.concat(found, ignore_index=True) if len(found) > 1 else found[0]


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise UsageError(
            f"the time {moment.isoformat()} has no zone",
            remedy="give it in UTC, as 2025-09-30T12:00:00Z",
        )
    return moment
