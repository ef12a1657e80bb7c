"""The positions of consumer groups, and the fence around them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg2.errors
from psycopg2 import sql

from rtmlops_lib.logs import get_logger
from rtmlops_lib.store.contract import Claim, Position, Takeover, TopicRef
from rtmlops_lib.store.postgres import state
from rtmlops_lib.store.postgres.recompute import Recompute, forget_derived
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import TopicPartition

__all__ = ["claim", "held", "move", "reset"]

log = get_logger(__name__)

# One order of locking everywhere, in the server's eyes as in ours.
_ORDER = 'topic COLLATE "C", partition, cluster_id COLLATE "C", topic_id COLLATE "C"'

_WANTED = """
    unnest(%(cluster_ids)s::text[], %(topic_ids)s::text[], %(topics)s::text[],
           %(partitions)s::int[], %(expected)s::bigint[], %(next)s::bigint[],
           %(epochs)s::bigint[])
    AS w(cluster_id, topic_id, topic, partition, expected, next_offset, epoch)
"""
_SAME = """
    o.consumer_group = %(group)s AND o.cluster_id = w.cluster_id
    AND o.topic_id = w.topic_id AND o.topic = w.topic AND o.partition = w.partition
"""
_LOCK = f"""
    SELECT o.topic, o.partition, o.next_offset, o.epoch
    FROM {{schema}}.stream_offsets AS o JOIN {_WANTED} ON {_SAME}
    ORDER BY o.topic COLLATE "C", o.partition,
             o.cluster_id COLLATE "C", o.topic_id COLLATE "C"
    FOR UPDATE OF o
"""  # noqa: S608 - constants only
_MOVE = f"""
    UPDATE {{schema}}.stream_offsets AS o
    SET next_offset = w.next_offset, updated_at = now()
    FROM {_WANTED} WHERE {_SAME} AND o.epoch = w.epoch
      AND o.next_offset = w.expected
    RETURNING o.topic, o.partition
"""  # noqa: S608 - constants only
# A group that meets a topic for the first time starts where it was told to, in every
# partition at once. Two members may do so together: the second waits for the first.
_FIRST = f"""
    INSERT INTO {{schema}}.stream_offsets
        (cluster_id, topic_id, consumer_group, topic, partition, next_offset, epoch)
    SELECT cluster_id, topic_id, %(group)s, topic, partition,
           greatest(expected, next_offset), 0
    FROM {_WANTED}
    WHERE NOT EXISTS (
        SELECT FROM {{schema}}.stream_offsets AS known
        WHERE known.consumer_group = %(group)s AND known.topic = w.topic)
    ORDER BY {_ORDER} ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants only
# What such a group has no offset for came later: a partition that was added, or a
# topic that was deleted and made anew. It is read from its beginning.
_CLAIM = f"""
    INSERT INTO {{schema}}.stream_offsets AS o
        (cluster_id, topic_id, consumer_group, topic, partition, next_offset, epoch)
    SELECT cluster_id, topic_id, %(group)s, topic, partition, next_offset, 1
    FROM (SELECT * FROM {_WANTED} ORDER BY {_ORDER}) AS ordered
    ON CONFLICT (consumer_group, topic, partition, cluster_id, topic_id)
    DO UPDATE SET epoch = o.epoch + 1, updated_at = now()
    RETURNING o.topic, o.partition, o.next_offset, o.epoch
"""  # noqa: S608 - constants only
_SEEN = f"""
    INSERT INTO {{schema}}.topics_seen (cluster_id, topic_id, topic)
    SELECT DISTINCT cluster_id, topic_id, topic FROM {_WANTED}
    ORDER BY cluster_id, topic_id ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants only
_RESET = f"""
    INSERT INTO {{schema}}.stream_offsets AS o
        (cluster_id, topic_id, consumer_group, topic, partition, next_offset, epoch)
    SELECT cluster_id, topic_id, %(group)s, topic, partition, next_offset, 1
    FROM (SELECT * FROM {_WANTED} ORDER BY {_ORDER}) AS ordered
    ON CONFLICT (consumer_group, topic, partition, cluster_id, topic_id)
    DO UPDATE SET next_offset = excluded.next_offset, epoch = o.epoch + 1,
                  updated_at = now()
"""  # noqa: S608 - constants only
_LOST = """
    INSERT INTO {schema}.alerts (kind, severity, message, detail)
    VALUES ('events_lost', 'critical', %s, %s)
"""


# A member that was stopped in the middle of a write holds its rows for ever, and its
# partitions are ours now: Kafka gave them to us. xmax names the transaction.
_HOLDERS = f"""
    SELECT DISTINCT l.pid, pg_terminate_backend(l.pid)
    FROM {{schema}}.stream_offsets AS o
    JOIN {_WANTED} ON {_SAME}
    JOIN pg_catalog.pg_locks AS l ON l.locktype = 'transactionid' AND l.granted
         AND l.transactionid = o.xmax AND l.pid <> pg_backend_pid()
"""  # noqa: S608 - constants only
# Longer than any write that goes well, short enough for a second try in one call.
_PATIENCE = "3s"


def _query(text: str, schema: str) -> sql.Composable:
    return sql.SQL(text).format(schema=sql.Identifier(schema))


def _values(group: str, positions: Iterable[Position]) -> dict[str, Any]:
    wanted = sorted(
        positions,
        key=lambda p: (p.ref.topic, p.partition, p.ref.cluster_id, p.ref.topic_id),
    )
    return {
        "group": group,
        "cluster_ids": [p.ref.cluster_id for p in wanted],
        "topic_ids": [p.ref.topic_id for p in wanted],
        "topics": [p.ref.topic for p in wanted],
        "partitions": [p.partition for p in wanted],
        "expected": [p.expected for p in wanted],
        "next": [p.next_offset for p in wanted],
        "epochs": [p.epoch for p in wanted],
    }


def move(
    session: Session, schema: str, group: str, positions: Sequence[Position]
) -> frozenset[TopicPartition]:
    """Open a transaction and move offsets in it; return the fenced partitions."""
    if not positions:
        session.execute("BEGIN")
        return frozenset()
    # Locking in order and then updating, in one round trip: an UPDATE alone would
    # lock in whatever order its plan meets the rows.
    text = f"BEGIN; {_LOCK}; {_MOVE}"
    moved = session.rows(_query(text, schema), _values(group, positions))
    held_by_us = {TopicPartition(*row) for row in moved}
    return frozenset(p.topic_partition for p in positions) - held_by_us


def held(
    session: Session, schema: str, group: str, positions: Sequence[Position]
) -> bool:
    """Return whether every position was reached, under the epoch that moved it.

    Waits for a transaction that still holds one of the rows.
    """
    found = session.rows(_query(_LOCK, schema), _values(group, positions))
    now = {TopicPartition(*row[:2]): row[2:] for row in found}
    return all(
        now.get(p.topic_partition) == (p.next_offset, p.epoch) for p in positions
    )


def claim(
    session: Session,
    schema: str,
    group: str,
    partitions: Mapping[TopicPartition, Takeover],
    *,
    with_state: bool = False,
) -> dict[TopicPartition, Claim]:
    """Raise the epochs of partitions; skip what the log has dropped, with an alert.

    Whoever still holds one of the rows after three seconds is a former owner, stopped
    in the middle of a write: its connection is ended, its transaction undone.
    """
    if not partitions:
        return {}
    starts = {
        tp: Position(t.ref, tp.partition, t.initial, t.log_start, 0)
        for tp, t in partitions.items()
    }
    every = _values(group, starts.values())
    values = _values(group, (at for tp, at in starts.items() if partitions[tp].ours))
    try:
        raised = _raise_epochs(session, schema, every, values)
    except psycopg2.errors.LockNotAvailable:
        session.rollback()
        holders = session.rows(_query(_HOLDERS, schema), values)
        log.warning("holders_ended", pids=[pid for pid, _ in holders], group=group)
        raised = _raise_epochs(session, schema, every, values)
    # From here on no former owner can replace them.
    states = state.load(session, schema, values) if with_state else {}
    claims: dict[TopicPartition, Claim] = {}
    dropped: list[Position] = []
    for topic, partition, stored, epoch in raised:
        tp = TopicPartition(topic, partition)
        takeover = partitions[tp]
        lost = max(0, takeover.log_start - stored)
        claims[tp] = Claim(stored + lost, epoch, lost, states.get(tp))
        if lost:
            dropped.append(
                Position(takeover.ref, partition, stored, stored + lost, epoch)
            )
    if dropped:
        session.execute(_query(_MOVE, schema), _values(group, dropped))
        for position in dropped:
            _alert_lost(session, schema, group, position)
    session.execute("COMMIT")
    return claims


def _raise_epochs(
    session: Session,
    schema: str,
    every: Mapping[str, Any],
    ours: Mapping[str, Any],
) -> list[tuple[Any, ...]]:
    begin = f"BEGIN; SET LOCAL lock_timeout = '{_PATIENCE}'; {_SEEN}; {_FIRST}"
    session.execute(_query(begin, schema), every)
    return session.rows(_query(_CLAIM, schema), ours)


def _alert_lost(session: Session, schema: str, group: str, position: Position) -> None:
    lost = position.next_offset - position.expected
    detail = {
        "consumer_group": group,
        "topic": position.ref.topic,
        "topic_id": position.ref.topic_id,
        "partition": position.partition,
        "from_offset": position.expected,
        "to_offset": position.next_offset,
        "events_lost": lost,
    }
    message = (
        f"{lost} offsets of {position.ref.topic}/{position.partition} were deleted "
        f"by Kafka before group {group!r} read them; reading on from the log's start"
    )
    session.execute(_query(_LOST, schema), (message, json.dumps(detail)))


def reset(
    session: Session,
    schema: str,
    group: str,
    offsets: Mapping[TopicPartition, tuple[TopicRef, int]],
    recompute: Recompute | None,
) -> int:
    """Set offsets whatever they were, and fence whoever holds the partitions.

    What the group knew of them is forgotten: it is learned again from the records
    before the new offsets. Returned is how many derived rows were deleted.
    """
    deleted = 0
    if offsets:
        positions = [
            Position(ref, tp.partition, 0, offset, 0)
            for tp, (ref, offset) in offsets.items()
        ]
        values = _values(group, positions)
        session.execute("BEGIN")
        session.execute(_query(_RESET, schema), values)
        state.forget(session, schema, values)
        if recompute is not None:
            deleted = forget_derived(session, schema, recompute, positions)
        session.execute("COMMIT")
    return deleted
