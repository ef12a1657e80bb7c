"""What a loop says of itself: metrics, faults, readiness, and whether it is idle."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.ownership import Ownership
from rtmlops_lib.services.partition import OwnedPartition
from rtmlops_lib.services.tasks import WriteTask
from rtmlops_lib.store import Written
from rtmlops_lib.streams import TopicPartition, foreign_keys

__all__ = ["Report", "partition_names"]

log = get_logger(__name__)

_LEARNING = "what was known of the partitions is being learned again"


class Report:
    """Keeps the counters, and the faults that make a service not ready.

    Parameters
    ----------
    metrics : ServiceMetrics
    health : Health
    letters : bool
        Whether rejected records become dead letters here, or are counted only.
    """

    def __init__(
        self, metrics: ServiceMetrics, health: Health, *, letters: bool
    ) -> None:
        self.faults: dict[str, str] = {}
        self._metrics = metrics
        self._health = health
        self._letters = letters
        self._ends: Mapping[TopicPartition, int] = {}
        self._absent: frozenset[str] = frozenset()

    def fault(self, part: str, error: RtmlopsError) -> None:
        """Note what stands in the way; log it once, not at every try."""
        text = str(error)
        if self.faults.get(part) != text:
            log.warning("fault", part=part, error=error.message, remedy=error.remedy)
        self.faults[part] = text

    def clear(self, part: str) -> None:
        """Note that a part works again."""
        if self.faults.pop(part, None) is not None:
            log.info("recovered", part=part)

    def absent(self, topics: Collection[str]) -> None:
        """Note which topics do not exist: the service is not ready without them."""
        if self._absent != frozenset(topics):
            log.warning("topics_absent", topics=sorted(topics))
        self._absent = frozenset(topics)

    def retried(self) -> None:
        """Count a write that will be repeated."""
        self._metrics.write_retries.labels(self._metrics.service).inc()

    def lost(self, tp: TopicPartition, count: int) -> None:
        """Count offsets that the log dropped before anybody read them."""
        log.warning("events_lost", partition=_name(tp), count=count)
        self._metrics.events_lost.labels(*self._labels(tp)).inc(count)

    def snapshot_refused(self, tp: TopicPartition, why: str) -> None:
        """Count a state that could not be used."""
        log.warning("snapshot_refused", partition=_name(tp), error=why)
        self._metrics.snapshots_refused.labels(*self._labels(tp)).inc()

    def fenced(self, partitions: Collection[TopicPartition]) -> None:
        """Count writes that the store refused because another member writes there."""
        log.warning("fenced", partitions=partition_names(partitions))
        for tp in partitions:
            self._metrics.fenced.labels(*self._labels(tp)).inc()

    def written(self, task: WriteTask, written: Written) -> None:
        """Count what a write did."""
        metrics, service = self._metrics, self._metrics.service
        for stream, count in written.rows.items():
            metrics.rows.labels(service, stream).inc(count)
        for stream, count in written.duplicates.items():
            metrics.duplicates.labels(service, stream).inc(count)
        for chunk in task.chunks:
            count = foreign_keys(chunk.raw, chunk.decoded.batch)
            if count:
                metrics.foreign_keys.labels(service, chunk.stream).inc(count)
        sent = Counter((x.stream, x.reason) for x in task.prepared.letters)
        sent.update((row.stream, row.reason) for row in written.refused)
        skipped = Counter((x.stream, x.reason) for x in task.prepared.skipped)
        for (stream, reason), count in (sent + skipped).items():
            metrics.rejected.labels(service, stream, reason).inc(count)
        if self._letters:
            for (stream, reason), count in sent.items():
                metrics.dead_letters.labels(service, stream, reason).inc(count)
        metrics.batch_seconds.labels(service).observe(time.monotonic() - task.since)
        metrics.batch_rows.labels(service).observe(sum(len(c.raw) for c in task.chunks))

    def moved(self, owned: OwnedPartition) -> None:
        """Show a partition's stored offset."""
        self._metrics.position.labels(*self._labels(owned.tp)).set(owned.stored)

    def lag(
        self, claimed: Iterable[OwnedPartition], ends: Mapping[TopicPartition, int]
    ) -> None:
        """Show each partition's lag: the log's end less the stored offset."""
        self._ends = ends
        for owned in claimed:
            lag = max(0, ends[owned.tp] - owned.stored)
            self._metrics.lag.labels(*self._labels(owned.tp)).set(lag)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Show nothing more of partitions that are no longer ours."""
        for tp in partitions:
            self.faults.pop(offset_part(tp), None)
            self._metrics.forget_partition(*tp)

    def readiness(self, owned: Ownership) -> None:
        """Tell ``/readyz`` how things stand."""
        reasons = list(self.faults.values())
        if not len(owned):
            reasons.append("no partition is assigned yet")
        elif not reasons and owned.unclaimed:
            reasons.append("partitions are being taken over")
        elif not reasons and any(one.learning for one in owned):
            reasons.append(_LEARNING)
        reasons += [
            f"topic {topic!r} does not exist; create it, or run 'rtmlops topics create'"
            for topic in sorted(self._absent)
        ]
        self._health.set(tuple(reasons))
        self._metrics.ready.labels(self._metrics.service).set(not reasons)

    def unready(self) -> None:
        """Say that the service has ended."""
        self._metrics.ready.labels(self._metrics.service).set(0)

    def unfinished(self, owned: Ownership) -> str | None:
        """Return why the logs' ends are not stored yet, None when they are."""
        if self.faults:
            return "; ".join(self.faults.values())
        if not len(owned):
            return "no partition was assigned (missing topic, or too many members)"
        if owned.unclaimed:
            return "partitions are being taken over"
        if any(one.learning for one in owned):
            return _LEARNING
        for partition in owned:
            end = self._ends.get(partition.tp)
            if end is None or partition.stored < end:
                return f"{_name(partition.tp)} is at {partition.stored} of {end}"
        return None

    def _labels(self, tp: TopicPartition) -> tuple[str, str, str]:
        return self._metrics.service, tp.topic, str(tp.partition)


def offset_part(tp: TopicPartition) -> str:
    """Return the name under which a fault of a partition's offset is kept."""
    return f"offset_{_name(tp)}"


def partition_names(partitions: Iterable[TopicPartition]) -> list[str]:
    """Return ``topic/partition`` of each, sorted, for logs."""
    return sorted(_name(tp) for tp in partitions)


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}/{tp.partition}"
