"""Which partitions are ours, and how we come to know where to read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from rtmlops_lib.services.partition import OwnedPartition
from rtmlops_lib.services.tasks import ClaimTask
from rtmlops_lib.store import Takeover, TopicRef
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport import EventConsumer

__all__ = ["Ownership", "Start"]

Start = str | datetime


class Ownership:
    """The partitions a member owns, claimed from the store or about to be.

    Parameters
    ----------
    group : str
        Consumer group.
    start : {"earliest", "latest"} or datetime
        Where a group begins that has never read the topic; partitions that are added
        later begin at their beginning.
    """

    def __init__(self, group: str, start: Start) -> None:
        self.group = group
        self.start = start
        self._owned: dict[TopicPartition, OwnedPartition] = {}

    def __iter__(self) -> Iterator[OwnedPartition]:
        return iter(self._owned.values())

    def __len__(self) -> int:
        return len(self._owned)

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Own these, unclaimed; whatever was known of them before is forgotten."""
        for tp in partitions:
            self._owned[tp] = OwnedPartition(tp)

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Own these no longer."""
        for tp in partitions:
            self._owned.pop(tp, None)

    def get(self, tp: TopicPartition) -> OwnedPartition | None:
        """Return the partition if it is ours and claimed."""
        owned = self._owned.get(tp)
        return owned if owned is not None and owned.claimed else None

    def holds(self, owned: OwnedPartition) -> bool:
        """Whether this very assignment is still in force."""
        return self._owned.get(owned.tp) is owned

    def mine(self, partitions: Iterable[TopicPartition]) -> frozenset[TopicPartition]:
        """Return those of ``partitions`` that are ours, claimed or not."""
        return frozenset(partitions) & self._owned.keys()

    @property
    def claimed(self) -> list[OwnedPartition]:
        """The partitions that may be read."""
        return [owned for owned in self if owned.claimed]

    @property
    def unclaimed(self) -> list[OwnedPartition]:
        """The partitions that the store has not yet been asked about."""
        return [owned for owned in self if not owned.claimed]

    def claim_task(self, consumer: EventConsumer) -> ClaimTask | None:
        """Ask Kafka what the store needs to know for the unclaimed partitions.

        Returns None where there is none, or none whose topic exists.
        """
        unclaimed = self.unclaimed
        if not unclaimed:
            return None
        ids, cluster = consumer.topic_ids(), consumer.cluster_id()
        wanted = [owned for owned in unclaimed if owned.tp.topic in ids]
        if not wanted:
            return None
        tps = {owned.tp for owned in wanted}
        if self.start != "earliest":
            # What others will own starts now, too: if each asked for its own later,
            # what came in between would be skipped.
            topics = {tp.topic for tp in tps}
            tps |= {tp for tp in consumer.partitions() if tp.topic in topics}
        log_start = consumer.beginning_offsets(tps)
        initial = self._initial(consumer, tps, log_start)
        takeovers = {
            tp: Takeover(
                ref=TopicRef(cluster, ids[tp.topic], tp.topic),
                initial=initial[tp],
                log_start=log_start[tp],
            )
            for tp in tps
        }
        return ClaimTask(
            group=self.group,
            wanted={owned: takeovers[owned.tp] for owned in wanted},
            met={tp: replace(each, ours=False) for tp, each in takeovers.items()},
        )

    def _initial(
        self,
        consumer: EventConsumer,
        tps: Collection[TopicPartition],
        log_start: Mapping[TopicPartition, int],
    ) -> Mapping[TopicPartition, int]:
        if isinstance(self.start, datetime):
            milliseconds = int(self.start.timestamp() * 1000)
            return consumer.offsets_for_time(tps, milliseconds)
        return log_start if self.start == "earliest" else consumer.end_offsets(tps)

    def recreated(self, ids: Mapping[str, str]) -> set[TopicPartition]:
        """Return claimed partitions whose topic is gone or is another one now."""
        return {
            owned.tp
            for owned in self
            if owned.ref is not None and ids.get(owned.tp.topic) != owned.ref.topic_id
        }
