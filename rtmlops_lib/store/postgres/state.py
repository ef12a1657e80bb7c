"""Snapshots of services' states, beside the offsets they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from psycopg2 import sql

from rtmlops_lib.store.contract import Position, Snapshot
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import TopicPartition

__all__ = ["forget", "load", "save"]

_SAVE = """
    INSERT INTO {schema}.detector_state
        (consumer_group, topic, partition, cluster_id, topic_id, next_offset, snapshot)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (consumer_group, topic, partition, cluster_id, topic_id)
    DO UPDATE SET next_offset = excluded.next_offset, snapshot = excluded.snapshot,
                  updated_at = now()
"""
# A topic that was deleted and made anew has another id: what was known of its
# predecessor is of no use to anybody.
_OTHERS = """
    DELETE FROM {schema}.detector_state AS s
    USING unnest(%(cluster_ids)s::text[], %(topic_ids)s::text[], %(topics)s::text[],
                 %(partitions)s::int[]) AS w(cluster_id, topic_id, topic, partition)
    WHERE s.consumer_group = %(group)s AND s.cluster_id = w.cluster_id
      AND s.topic = w.topic AND s.partition = w.partition
      AND s.topic_id <> w.topic_id
"""
_LOAD = """
    SELECT s.topic, s.partition, s.next_offset, s.snapshot,
           extract(epoch FROM now() - s.updated_at)::float8
    FROM {schema}.detector_state AS s
    JOIN unnest(%(cluster_ids)s::text[], %(topic_ids)s::text[], %(topics)s::text[],
                %(partitions)s::int[]) AS w(cluster_id, topic_id, topic, partition)
    ON s.consumer_group = %(group)s AND s.cluster_id = w.cluster_id
       AND s.topic_id = w.topic_id AND s.topic = w.topic
       AND s.partition = w.partition
"""
_FORGET = """
    DELETE FROM {schema}.detector_state AS s
    USING unnest(%(cluster_ids)s::text[], %(topic_ids)s::text[], %(topics)s::text[],
                 %(partitions)s::int[]) AS w(cluster_id, topic_id, topic, partition)
    WHERE s.consumer_group = %(group)s AND s.cluster_id = w.cluster_id
      AND s.topic_id = w.topic_id AND s.topic = w.topic
      AND s.partition = w.partition
"""


def save(
    session: Session,
    schema: str,
    group: str,
    positions: Sequence[Position],
    snapshots: Sequence[Snapshot],
) -> None:
    """Replace the states of some partitions, in the open transaction."""
    refs = {p.topic_partition: p.ref for p in positions}
    for one in snapshots:
        tp = one.topic_partition
        ref = refs[tp]
        session.execute(
            _query(_SAVE, schema),
            (
                group,
                tp.topic,
                tp.partition,
                ref.cluster_id,
                ref.topic_id,
                one.next_offset,
                psycopg2.Binary(one.data),
            ),
        )


def load(
    session: Session, schema: str, wanted: Mapping[str, Any]
) -> dict[TopicPartition, Snapshot]:
    """Return the states of the wanted partitions, in the open transaction."""
    session.execute(_query(_OTHERS, schema), wanted)
    return {
        TopicPartition(topic, partition): Snapshot(
            TopicPartition(topic, partition), next_offset, bytes(data), age
        )
        for topic, partition, next_offset, data, age in session.rows(
            _query(_LOAD, schema), wanted
        )
    }


def forget(session: Session, schema: str, wanted: Mapping[str, Any]) -> None:
    """Drop the states of some partitions."""
    session.execute(_query(_FORGET, schema), wanted)


def _query(text: str, schema: str) -> sql.Composable:
    return sql.SQL(text).format(schema=sql.Identifier(schema))
