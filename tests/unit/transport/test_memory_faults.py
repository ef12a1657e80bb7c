"""The broker in memory misbehaves when told to, and only then."""

from __future__ import annotations

import pytest

from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport import DeliveryFailed, MemberFenced, TransportUnavailable
from rtmlops_lib.transport.memory import MemoryBroker

TP = TopicPartition("trips", 0)


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.create_topic("trips")
    return broker


@pytest.fixture
def consumer(broker: MemoryBroker):
    producer = broker.producer()
    for number in range(10):
        producer.send("trips", b"%d" % number)
    consumer = broker.consumer(group="g", topics=["trips"])
    consumer.poll_batch(10, 0)
    consumer.seek(TP, 0)
    consumer.resume([TP])
    return consumer


def test_a_failed_delivery_fails_one_flush(broker: MemoryBroker) -> None:
    producer = broker.producer()
    broker.fail_deliveries(1)
    producer.send("trips", b"a")
    producer.send("trips", b"b")
    with pytest.raises(DeliveryFailed):
        producer.flush()
    producer.flush()


def test_a_lost_session_takes_the_partitions_and_joins_again(consumer) -> None:
    consumer.lose_session()
    poll = consumer.poll_batch(10, 0)
    assert poll.lost == {TP} == poll.assigned and poll.rebalanced
    assert not consumer.poll_batch(10, 0).records


def test_a_forced_rebalance_revokes_and_pauses_anew(broker, consumer) -> None:
    broker.rebalance("g")
    poll = consumer.poll_batch(10, 0)
    assert poll.revoked == {TP} == poll.assigned
    assert not poll.records and not poll.positions


def test_a_rewind_breaks_the_contract_on_purpose(consumer) -> None:
    assert consumer.poll_batch(10, 0).positions == {TP: 10}
    consumer.rewind(TP, 4)
    assert consumer.poll_batch(10, 0).records[0].offsets[0] == 4


def test_nobody_answers_while_the_broker_is_away(broker, consumer) -> None:
    broker.go_away()
    assert not consumer.poll_batch(10, 0).records
    for call in (consumer.topic_ids, lambda: consumer.commit({TP: 1})):
        with pytest.raises(TransportUnavailable):
            call()
    broker.come_back()
    assert len(consumer.poll_batch(10, 0).records[0]) == 10


def test_a_second_member_with_the_same_identity_fences_the_first(broker) -> None:
    first = broker.consumer(group="s", topics=["trips"], group_instance_id="one")
    first.poll_batch(1, 0)
    second = broker.consumer(group="s", topics=["trips"], group_instance_id="one")
    assert second.poll_batch(1, 0).assigned == {TP}
    with pytest.raises(MemberFenced):
        first.commit({TP: 1})


def test_a_deleted_topic_takes_its_partitions_along(broker, consumer) -> None:
    broker.delete_topic("trips")
    poll = consumer.poll_batch(10, 0)
    assert poll.revoked == {TP} and not poll.assigned and consumer.topic_ids() == {}
    broker.create_topic("trips")
    assert consumer.poll_batch(10, 0).assigned == {TP}
