"""Reading a topic by itself, without joining a group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

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

__all__ = ["read_topic"]

_STALLED_SECONDS = 15.0


def read_topic(
    settings: Settings, topic: str, *, newest: int | None = None, follow: bool = False
) -> Iterator[RawRecords]:
    """Yield what a topic holds now, without joining a group.

    Parameters
    ----------
    settings : Settings
    topic : str
    newest : int, optional
        Only about so many of the newest records, spread over the partitions; all by
        default.
    follow : bool
        Go on with what comes, until the caller stops.

    Raises
    ------
    UsageError
        When the topic does not exist.
    TransportUnavailable
        When no broker answers.
    """
    with TopicAdmin(settings) as admin:
        ends = admin.end_offsets([topic])
        if not ends:
            raise UsageError(
                f"there is no topic {topic!r}",
                remedy="'rtmlops topics list' shows all",
            )
        starts = admin.offsets(ends, "earliest")
    if newest is not None:
        share = -(-newest // len(ends))
        starts = {p: max(starts[p], ends[p] - share) for p in ends}
    open_ends = {p: end for p, end in ends.items() if follow or starts[p] < end}
    if not open_ends:
        return
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
    try:
        client.assign([ClientPartition(*p) for p in open_ends])
        for partition in open_ends:
            client.seek(ClientPartition(*partition), starts[partition])
        if follow:
            yield from _forever(client, settings)
        yield from _until(client, open_ends, settings)
    finally:
        client.close(autocommit=False, timeout_ms=2_000)


def _forever(client: Any, settings: Settings) -> Iterator[RawRecords]:
    while True:
        with translated(settings):
            fetched = client.poll(timeout_ms=200, max_records=1_000)
        for tp, records in fetched.items():
            yield columns(tp, records)


def _until(
    client: Any, ends: dict[TopicPartition, int], settings: Settings
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
