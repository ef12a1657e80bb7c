"""The monitor's verdicts, with all that went into them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
from psycopg2 import sql

if TYPE_CHECKING:
    from rtmlops_lib.store.postgres.connection import Connection

__all__ = ["DriftReports"]

_SECONDS = 15.0
_NOTHING: sql.Composable = sql.SQL("")
_COLUMNS = (
    "id, checked_at, stream, model_name, model_version, kind, window_start, "
    "window_end, state"
)


class DriftReports:
    """The drift reports of one schema.

    Parameters
    ----------
    connection : Connection
    schema : str
    """

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._table = sql.Identifier(schema, "drift_reports")

    def add(
        self,
        *,
        stream: str,
        model_name: str,
        model_version: int | None,
        kind: str,
        window_start: datetime,
        window_end: datetime,
        state: str,
        report: Mapping[str, Any],
    ) -> int | None:
        """Write a verdict down; None when this window has one already."""
        with self._connection.within(_SECONDS) as session:
            found: int | None = session.value(
                self._text(
                    "INSERT INTO {table} (stream, model_name, model_version, kind, "
                    "window_start, window_end, state, report) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) "
                    "ON CONFLICT (stream, model_name, kind, window_end) DO NOTHING "
                    "RETURNING id"
                ),
                (
                    stream,
                    model_name,
                    model_version,
                    kind,
                    window_start,
                    window_end,
                    state,
                    json.dumps(_known(dict(report)), allow_nan=False),
                ),
            )
        return found

    def get(self, report_id: int) -> dict[str, Any] | None:
        """Return a verdict as a plain mapping, ``report`` included; or None."""
        with self._connection.within(_SECONDS) as session:
            rows = session.rows(
                self._text("SELECT {columns}, report FROM {table} WHERE id = %s"),
                (report_id,),
            )
            return dict(zip(session.names(), rows[0], strict=True)) if rows else None

    def list(
        self,
        *,
        stream: str | None = None,
        model_name: str | None = None,
        kind: str | None = None,
        limit: int = 100,
        with_reports: bool = False,
        with_reasons: bool = False,
    ) -> pd.DataFrame:
        """Return verdicts, newest window first; ``reason`` is each in a sentence."""
        report = sql.SQL(", report") if with_reports else _NOTHING
        if with_reasons:
            report += sql.SQL(", report ->> 'reason' AS reason")
        with self._connection.within(_SECONDS) as session:
            rows = session.rows(
                self._text(
                    "SELECT {columns}{report} FROM {table} "
                    "WHERE (%(stream)s::text IS NULL "
                    "OR stream = %(stream)s) "
                    "AND (%(model)s::text IS NULL OR model_name = %(model)s) "
                    "AND (%(kind)s::text IS NULL OR kind = %(kind)s) "
                    "ORDER BY window_end DESC, id DESC LIMIT %(limit)s",
                    report,
                ),
                {"stream": stream, "model": model_name, "kind": kind, "limit": limit},
            )
            return pd.DataFrame(rows, columns=[*session.names()])

    def _text(self, text: str, report: sql.Composable = _NOTHING) -> sql.Composed:
        return sql.SQL(text).format(
            table=self._table, columns=sql.SQL(_COLUMNS), report=report
        )


def _known(value: Any) -> Any:
    """Return plain data in which what is no number is null: JSON has no word for it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _known(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_known(one) for one in value]
    return value
