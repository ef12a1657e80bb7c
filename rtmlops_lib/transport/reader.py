"""Reading a topic by itself, without joining a group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np
from kafka import KafkaConsumer
from kafka import TopicPartition as ClientPartition

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import RawRecords, TopicPartition
from rtmlops_lib.transport._client_settings import CLIENT_ID, kafka_python_security
from rtmlops_lib.transport._kafka_python_errors import construct, translated
from rtmlops_lib.transport.admin import TopicAdmin
from rtmlops_lib.transport.errors import TransportUnavailable
from rtmlops_lib.transport.kafka_python import columns

__all__ = ["follow_topic", "read_newest", "read_topic"]

_STALLED_SECONDS = 15.0


def read_topic(settings: Settings, topic: str) -> Iterator[RawRecords]:
    """Yield all that a topic holds now, without joining a group.

    Raises
    ------
    UsageError
        When the topic does not exist.
    TransportUnavailable
        When no broker answers.
    """
    starts, ends = _bounds(settings, topic)
    yield from _between(settings, starts, ends)


def read_newest(settings: Settings, topic: str, count: int) -> list[RawRecords]:
    """Return the newest records of a topic by their timestamps, ``count`` in all.

    Fewer where the topic has no more. Raises as ``read_topic``.
    """
    starts, ends = _bounds(settings, topic)
    return _newest(settings, starts, ends, count)


def follow_topic(settings: Settings, topic: str, count: int) -> Iterator[RawRecords]:
    """Yield the ``count`` newest records and then what comes, until the caller stops.

    Raises as ``read_topic``.
    """
    starts, ends = _bounds(settings, topic)
    yield from _newest(settings, starts, ends, count)
    with closing(_reader(settings, ends)) as client:
        yield from _forever(client, settings)


def _bounds(
    settings: Settings, topic: str
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    with TopicAdmin(settings) as admin:
        ends = admin.end_offsets([topic])
        if not ends:
            raise UsageError(
                f"there is no topic {topic!r}",
                remedy="'rtmlops topics list' shows all",
            )
        return admin.offsets(ends, "earliest"), ends


def _newest(
    settings: Settings,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    count: int,
) -> list[RawRecords]:
    if not count:
        return []
    back = count
    while True:
        since = {p: max(start, ends[p] - back) for p, start in starts.items()}
        found = list(_between(settings, since, ends))
        if sum(map(len, found)) >= count or since == starts:
            break
        back *= 4  # offsets may be those of aborted records, or compacted away
    if not found:
        return []
    moments = np.concatenate([[], *(records.timestamps for records in found)])
    newest = np.zeros(len(moments), bool)
    newest[np.argsort(moments, kind="stable")[-count:]] = True
    cuts = np.cumsum([len(records) for records in found])[:-1]
    kept = zip(found, np.split(newest, cuts), strict=True)
    return [
        records.part(slice(len(records) - int(wanted.sum()), None))
        for records, wanted in kept
        if wanted.any()
    ]


def _between(
    settings: Settings,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Iterator[RawRecords]:
    open_ends = {p: end for p, end in ends.items() if starts[p] < end}
    if open_ends:
        begins = {p: starts[p] for p in open_ends}
        with closing(_reader(settings, begins)) as client:
            yield from _until(client, open_ends, settings)


class _Reader:
    """A client that is told where to read; ``close`` gives up after 2 s."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.poll = client.poll
        self.position = client.position

    def close(self) -> None:
        self.client.close(autocommit=False, timeout_ms=2_000)


def _reader(settings: Settings, starts: Mapping[TopicPartition, int]) -> _Reader:
    config = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "client_id": f"{CLIENT_ID}-reader",
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "auto_offset_reset": "earliest",
        "fetch_max_bytes": 8 * 2**20,
        "bootstrap_timeout_ms": 10_000,
        "metrics_enabled": False,
        **kafka_python_security(settings.kafka_security),
    }
    client = construct(KafkaConsumer, config, settings)
    client.assign([ClientPartition(*p) for p in starts])
    for partition, offset in starts.items():
        client.seek(ClientPartition(*partition), offset)
    return _Reader(client)


def _forever(client: _Reader, settings: Settings) -> Iterator[RawRecords]:
    while True:
        with translated(settings):
            fetched = client.poll(timeout_ms=200, max_records=1_000)
        for tp, records in fetched.items():
            yield columns(tp, records)


def _until(
    client: _Reader, ends: dict[TopicPartition, int], settings: Settings
) -> Iterator[RawRecords]:
    progress, moved_at = 0, time.monotonic()
    while True:
        with translated(settings):
            fetched = client.poll(timeout_ms=200, max_records=1_000)
            at = {p: client.position(ClientPartition(*p), timeout_ms=0) for p in ends}
        for tp, records in fetched.items():
            wanted = [r for r in records if r.offset < ends[TopicPartition(*tp)]]
            if wanted:
                yield columns(tp, wanted)
        if all((at[p] or 0) >= end for p, end in ends.items()):
            return
        reached = sum(offset or 0 for offset in at.values())
        now = time.monotonic()
        if reached > progress:
            progress, moved_at = reached, now
        elif now - moved_at > _STALLED_SECONDS:
            raise TransportUnavailable(
                f"nothing came from Kafka for {_STALLED_SECONDS:g} s",
                remedy="check that it runs: 'rtmlops doctor'",
            )
