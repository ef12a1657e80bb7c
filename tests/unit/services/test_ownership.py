"""Where a group starts, by what its members ask of Kafka and tell the store."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rtmlops_lib.services.ownership import Ownership, Start
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport.memory import MemoryBroker
from tests.support.memory_store import MemoryDatabase, MemoryStore

TOPIC = "trips"
TIME = datetime(2026, 3, 1, tzinfo=UTC)


class Member:
    """One of a group: its own connection to Kafka and to the store."""

    def __init__(
        self, broker: MemoryBroker, database: MemoryDatabase, start: Start
    ) -> None:
        self.consumer = broker.consumer(group="g", topics=[TOPIC])
        self.owned = Ownership("g", start)
        self.store = MemoryStore(database)

    def poll(self) -> None:
        polled = self.consumer.poll_batch(10, 0)
        self.owned.remove(polled.revoked)
        self.owned.add(polled.assigned)

    def claim(self) -> dict[int, int]:
        """Return where each partition that was just taken over starts."""
        task = self.owned.claim_task(self.consumer)
        assert task is not None
        claims = task.run(self.store, 1.0)
        for owned, takeover in task.wanted.items():
            owned.ref = takeover.ref
        return {tp.partition: claim.next_offset for tp, claim in claims.items()}


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.create_topic(TOPIC, partitions=4)
    return broker


def put(broker: MemoryBroker, count: int, *partitions: int) -> None:
    producer = broker.producer()
    at = int(TIME.timestamp() * 1000)
    for partition in partitions:
        for second in range(-count, 0):
            producer.send(
                TOPIC, b"x", partition=partition, timestamp_ms=at + second * 1000
            )


def pair(broker: MemoryBroker, start: Start) -> tuple[Member, Member]:
    """Return two members that have settled on two partitions each."""
    database = MemoryDatabase()
    first, second = (Member(broker, database, start) for _ in range(2))
    for member in (first, second, first):
        member.poll()
    assert len(first.owned) == len(second.owned) == 2
    return first, second


@pytest.mark.parametrize("start", ["latest", TIME])
def test_what_comes_between_the_first_claims_of_two_members_is_read(
    broker: MemoryBroker, start: Start
) -> None:
    put(broker, 5, 0, 1, 2, 3)
    first, second = pair(broker, start)
    assert first.claim() == {0: 5, 1: 5}
    put(broker, 7, 0, 1, 2, 3)
    assert second.claim() == {2: 5, 3: 5}


@pytest.mark.parametrize("start", ["earliest", "latest", TIME])
def test_a_partition_that_was_added_is_read_from_its_beginning(
    broker: MemoryBroker, start: Start
) -> None:
    put(broker, 5, 0, 1, 2, 3)
    first, second = pair(broker, start)
    first.claim(), second.claim()
    broker.add_partitions(TOPIC, 1)
    put(broker, 3, 4)
    first.poll(), second.poll()
    found = {**first.claim(), **second.claim()}
    assert found == {**dict.fromkeys(range(4), 0 if start == "earliest" else 5), 4: 0}


def test_a_start_at_the_earliest_asks_for_its_own_partitions_only(
    broker: MemoryBroker,
) -> None:
    first, _ = pair(broker, "earliest")
    task = first.owned.claim_task(first.consumer)
    assert task is not None
    assert task.met.keys() == {TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)}
