"""Reading one partition by hand, to see what a consume loop has to take care of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.settings import Settings
from rtmlops_lib.transport._kafka_python_errors import quieten

__all__ = ["HandReader"]

_POLL_MS = 200
_STALLED_SECONDS = 10.0


class HandReader:
    """Reads partition 0 of a topic to its end, without the group's sharing of work.

    A bare kafka-python consumer: it reads what ``batches`` is told to and commits
    what ``commit`` is told to, nothing by itself.

    Parameters
    ----------
    settings : Settings
        Where Kafka is.
    topic : str
        A topic of one partition.
    group : str
        Whose offset ``committed`` and ``commit`` mean.

    Notes
    -----
    For lessons only; a service uses ``rtmlops_lib.transport.open_consumer``.
    Taught in chapter 04.
    """

    def __init__(self, settings: Settings, topic: str, group: str) -> None:
        quieten()
        self._partition = TopicPartition(topic, 0)
        self._client: Any = KafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap_servers.split(","),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            bootstrap_timeout_ms=10_000,
            metrics_enabled=False,
        )
        self._client.assign([self._partition])

    def committed(self) -> int:
        """Return the offset that the group has committed to Kafka; 0 for none."""
        return int(self._client.committed(self._partition) or 0)

    def commit(self, next_offset: int) -> None:
        """Tell Kafka the offset to be read next."""
        self._client.commit({self._partition: OffsetAndMetadata(next_offset, "", -1)})

    def batches(self, size: int, start: int) -> Iterator[list[Any]]:
        """Yield the records from ``start`` to today's end of the log.

        Parameters
        ----------
        size : int
            Records in a batch; the last may have fewer.
        start : int
            The first offset.

        Yields
        ------
        list of kafka ConsumerRecord
            With ``offset``, ``key`` and ``value``.

        Raises
        ------
        DependencyUnavailable
            When nothing comes for ten seconds.
        """
        end = self._client.end_offsets([self._partition])[self._partition]
        self._client.seek(self._partition, start)
        batch: list[Any] = []
        position, moved_at = start, time.monotonic()
        while position < end:
            polled = self._client.poll(_POLL_MS, max_records=size - len(batch))
            found = [r for r in polled.get(self._partition, []) if r.offset < end]
            if found:
                batch += found
                position, moved_at = found[-1].offset + 1, time.monotonic()
            elif time.monotonic() - moved_at > _STALLED_SECONDS:
                raise DependencyUnavailable(
                    f"nothing came from Kafka for {_STALLED_SECONDS:g} s",
                    remedy="check that it runs: 'rtmlops doctor'",
                )
            if len(batch) == size or (batch and position >= end):
                yield batch
                batch = []

    def close(self) -> None:
        """Close; nothing is committed."""
        self._client.close(autocommit=False)
