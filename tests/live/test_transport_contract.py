"""The contract of the ports over a real Kafka, and what only a real one can show."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport import (
    MemberFenced,
    Polled,
    TransportUnavailable,
    open_admin,
    open_consumer,
    open_producer,
)
from tests.support.transport_contract import (
    TransportContract,
    World,
    join,
    numbered,
    poll_until,
    read,
    silence,
    start,
    values_of,
)
from tests.support.transport_worlds import KafkaWorld, MemoryWorld

pytestmark = pytest.mark.live
CLIENTS = ("kafka-python", "confluent")


@pytest.fixture(params=(*CLIENTS, "memory"))
def world(
    request: pytest.FixtureRequest, kafka_bootstrap: str, topic_prefix: str
) -> Iterator[World]:
    world: World
    if request.param == "memory":
        world = MemoryWorld(topic_prefix)
    else:
        world = KafkaWorld(request.param, kafka_bootstrap, topic_prefix)
    yield world
    world.close()


@pytest.fixture(params=CLIENTS)
def kafka_world(
    request: pytest.FixtureRequest, kafka_bootstrap: str, topic_prefix: str
) -> Iterator[KafkaWorld]:
    world = KafkaWorld(request.param, kafka_bootstrap, topic_prefix)
    yield world
    world.close()


class TestContract(TransportContract):
    """Everything of the contract, over all three adapters."""


_MEMBER = """
    import sys
    from rtmlops_lib.settings import Settings
    from rtmlops_lib.transport import open_consumer

    bootstrap, client, group, topic = sys.argv[1:]
    consumer = open_consumer(
        Settings(kafka_bootstrap_servers=bootstrap),
        group=group, topics=[topic], client=client,
    )
    while True:
        consumer.poll_batch(100, 0.2)
        if consumer.assignment():
            print("in", flush=True)
"""


@pytest.mark.alone
def test_a_killed_member_is_replaced_within_ten_seconds(
    kafka_world: KafkaWorld,
) -> None:
    topic, group = kafka_world.topic(), kafka_world.new_name()
    bootstrap = kafka_world.settings.kafka_bootstrap_servers
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(_MEMBER),
            bootstrap,
            kafka_world.client,
            group,
            topic,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        process.send_signal(signal.SIGKILL)
        began = time.monotonic()
        heir = kafka_world.consumer(group, topic)
        join(heir, seconds=12)
        assert time.monotonic() - began <= 10
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_trickle_comes_in_small_lots_not_one_by_one(
    kafka_world: KafkaWorld,
) -> None:
    topic = kafka_world.topic()
    consumer = kafka_world.consumer(kafka_world.new_name(), topic)
    start(consumer)
    producer = kafka_world.producer()
    lots = []
    began = time.monotonic()
    sent = 0
    while sum(lots) < 100:
        if sent < 100 and time.monotonic() >= began + sent * 0.01:
            producer.send(topic, b"x")
            producer.flush()
            sent += 1
        lots.append(len(values_of([consumer.poll_batch(100, 0.005)])))
        assert time.monotonic() < began + 15
    assert len([lot for lot in lots if lot]) <= 60


@pytest.mark.parametrize("extra", [{}, {"fetch.max.wait.ms": "77"}])
def test_a_quiet_topic_is_asked_for_less_often_unless_told_otherwise(
    kafka_bootstrap: str, topic_prefix: str, extra: dict[str, str]
) -> None:
    world = KafkaWorld("kafka-python", kafka_bootstrap, topic_prefix)
    world.settings = world.settings.model_copy(update={"kafka_extra": extra})
    try:
        topic = world.topic()
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        config = consumer._client._fetcher.config
        silence(consumer, 1.2)
        wait = 77 if extra else 250
        assert config["fetch_max_wait_ms"] == wait
        world.put(topic, [b"x"])
        read(consumer, 1)
        assert config["fetch_max_wait_ms"] == (77 if extra else 50)
    finally:
        world.close()


@pytest.mark.slow
def test_a_pause_longer_than_the_session_keeps_the_membership(
    kafka_world: KafkaWorld,
) -> None:
    topic, group = kafka_world.topic(2), kafka_world.new_name()
    kafka_world.put(topic, numbered(10))
    consumer = kafka_world.consumer(group, topic)
    start(consumer)
    read(consumer, 10)
    mine = consumer.assignment()
    consumer.pause(mine)
    deadline = time.monotonic() + 14
    while time.monotonic() < deadline:
        poll = consumer.poll_batch(100, 0.5)
        assert not (poll.revoked or poll.lost or poll.records)
    assert consumer.assignment() == mine
    assert kafka_world.admin.group_members(group) == 1
    consumer.resume(mine)
    kafka_world.put(topic, [b"later"])
    assert values_of(read(consumer, 1)) == [b"later"]


@pytest.mark.slow
def test_a_fenced_static_member_is_told_by_its_commit(
    kafka_world: KafkaWorld,
) -> None:
    topic, group = kafka_world.topic(), kafka_world.new_name()
    first = kafka_world.consumer(group, topic, group_instance_id="one")
    start(first)
    second = kafka_world.consumer(group, topic, group_instance_id="one")
    join(second)
    with pytest.raises(MemberFenced):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            first.commit({TopicPartition(topic, 0): 1})
            first.poll_batch(10, 0.2)


@pytest.mark.slow
def test_a_topic_made_anew_while_the_group_assembles_is_shared_again(
    kafka_world: KafkaWorld,
) -> None:
    """What made the first member join anew is gone before the second one follows."""
    topic, group = kafka_world.topic(2), kafka_world.new_name()
    first = kafka_world.consumer(group, topic)
    join(first)
    second = kafka_world.consumer(group, topic)

    def shared(_: list[Polled]) -> bool:
        return len(first.assignment()) == 1 == len(second.assignment())

    poll_until(second, shared, others=[first])
    kafka_world.admin.delete([topic])
    poll_until(first, lambda ps: any(p.revoked | p.lost for p in ps))
    kafka_world.create(topic, 2, {})
    silence(first, 6)  # longer than the topics are believed in
    poll_until(second, shared, others=[first])


def test_members_of_both_clients_share_a_group(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    world = KafkaWorld("kafka-python", kafka_bootstrap, topic_prefix)
    other = KafkaWorld("confluent", kafka_bootstrap, topic_prefix)
    try:
        topic, group = world.topic(2), world.new_name()
        first, second = world.consumer(group, topic), other.consumer(group, topic)
        poll_until(
            second,
            lambda ps: len(first.assignment()) == 1 == len(second.assignment()),
            others=[first],
        )
        assert first.topic_ids() == second.topic_ids()
        assert first.cluster_id() == second.cluster_id()
    finally:
        other.close()
        world.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_nobody_at_the_address_is_unavailable_and_in_time(client: str) -> None:
    nowhere = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    for attempt in (
        lambda: open_consumer(nowhere, group="g", topics=["t"], client=client),
        lambda: open_producer(nowhere, client),
        lambda: open_admin(nowhere),
    ):
        began = time.monotonic()
        with pytest.raises(TransportUnavailable, match="does not answer"):
            attempt()
        assert time.monotonic() - began < 15


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unknown_extra_setting_is_named(client: str, kafka_bootstrap: str) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka_bootstrap, kafka_extra={"no_such": "1"}
    )
    with pytest.raises(UsageError, match=r"no.such"):
        open_consumer(settings, group="g", topics=["t"], client=client)
    with pytest.raises(UsageError, match=r"no.such"):
        open_producer(settings, client)
