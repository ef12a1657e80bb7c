"""Forgetting what was derived from events that a group will read again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg2 import sql

from rtmlops_lib.store.contract import Position
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import (
    StreamSpec,
    anomaly_column,
    anomaly_spec,
    prediction_spec,
)

__all__ = ["Recompute", "forget_derived"]

# What was made of a former topic of this name has offsets of its own and cannot be
# made again: it was stored before the topic of today was first seen.
_ROWS = """
    DELETE FROM {table}
    WHERE kafka_partition = %(partition)s AND kafka_offset >= %(next_offset)s
      AND ingest_time >= (SELECT first_seen FROM {seen}
                          WHERE cluster_id = %(cluster_id)s AND topic_id = %(topic_id)s)
"""
_EPISODES = """
    WITH gone AS ({rows} AND {detector} = %(detector)s RETURNING {series}, {time}),
    first AS (SELECT jsonb_build_object({pairs}) AS series, min({time}) AS time
              FROM gone GROUP BY {series}),
    told AS (DELETE FROM {events} AS e USING first AS f
             WHERE e.stream = %(stream)s AND e.detector = %(detector)s
               AND e.series = f.series AND e.started_at >= f.time)
    SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True)
class Recompute:
    """What is to be made again.

    Parameters
    ----------
    spec : StreamSpec
        The stream that it was made of.
    detector : str or None
        That detector's scores, and its episodes that began with them; None = the
        predictions.
    """

    spec: StreamSpec
    detector: str | None = None


def forget_derived(
    session: Session, schema: str, what: Recompute, positions: Iterable[Position]
) -> int:
    """Delete derived rows from the positions on, in the open transaction."""
    spec, detector = what.spec, what.detector
    derived = prediction_spec(spec) if detector is None else anomaly_spec(spec)
    rows = sql.SQL(_ROWS).format(
        table=sql.Identifier(schema, derived.table),
        seen=sql.Identifier(schema, "topics_seen"),
    )
    names = [sql.Identifier(name) for name in spec.series_key]
    query = sql.SQL(_EPISODES).format(
        rows=rows,
        detector=sql.Identifier(anomaly_column(spec, "detector")),
        series=sql.SQL(", ").join(names),
        time=sql.Identifier(spec.time.field),
        pairs=sql.SQL(", ").join(
            part
            for name, column in zip(spec.series_key, names, strict=True)
            for part in (sql.Literal(name), column)
        ),
        events=sql.Identifier(schema, "anomaly_events"),
    )
    total = 0
    for position in positions:
        values = {
            "partition": position.partition,
            "next_offset": position.next_offset,
            "cluster_id": position.ref.cluster_id,
            "topic_id": position.ref.topic_id,
            "stream": spec.name,
            "detector": detector,
        }
        if detector is None:
            total += session.execute(rows, values)
        else:
            total += session.value(query, values)
    return total
