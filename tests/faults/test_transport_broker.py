"""A broker that stalls, dies, comes back, or wants to know who is there."""

from __future__ import annotations

import logging
import threading
import time
import uuid

import pytest

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport import (
    DeliveryFailed,
    EventConsumer,
    EventProducer,
    TransportUnavailable,
    open_admin,
    open_consumer,
    open_producer,
)
from tests.support.own_kafka import PASSWORD, USER, OwnKafka
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.faults, pytest.mark.slow]
CLIENTS = ("kafka-python", "confluent")


class Reader:
    """Reads a topic as the runner would: told where to start, keeping its place."""

    def __init__(self, consumer: EventConsumer) -> None:
        self.consumer = consumer
        self.values: set[bytes | None] = set()
        self.places: dict[TopicPartition, int] = {}

    def step(self) -> None:
        poll = self.consumer.poll_batch(1_000, 0.2)
        for partition in poll.assigned:
            self.consumer.seek(partition, self.places.get(partition, 0))
        self.consumer.resume(poll.assigned)
        for records in poll.records:
            self.values.update(records.values)
            place = TopicPartition(records.topic, records.partition)
            self.places[place] = records.offsets[-1] + 1

    def until(self, value: bytes, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while value not in self.values:
            assert time.monotonic() < deadline, f"no {value!r} in {seconds} s"
            self.step()


def send_until_acknowledged(
    producer: EventProducer, topic: str, value: bytes, reader: Reader
) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            producer.send(topic, value, key=b"k")
            producer.flush(3.0)
            return
        except (DeliveryFailed, TransportUnavailable):
            assert time.monotonic() < deadline
            reader.step()


@pytest.mark.parametrize("fault", ["stall", "kill"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_that_goes_away_is_no_error_and_reading_goes_on(
    broker: OwnKafka, client: str, fault: str
) -> None:
    settings = Settings(kafka_bootstrap_servers=broker.bootstrap)
    topic = f"away-{uuid.uuid4().hex[:8]}"
    with open_admin(settings) as admin:
        admin.create(topic)
    producer = open_producer(settings, client)
    consumer = open_consumer(settings, group=topic, topics=[topic], client=client)
    reader = Reader(consumer)
    try:
        producer.send(topic, b"before", key=b"k")
        producer.flush()
        reader.until(b"before", 15)
        getattr(broker, fault)()
        deadline = time.monotonic() + 8  # longer than the session
        while time.monotonic() < deadline:
            reader.step()
        with pytest.raises(TransportUnavailable):
            consumer.topic_ids()
        producer.send(topic, b"while away", key=b"k")
        with pytest.raises(DeliveryFailed):
            producer.flush(1.0)
        if fault == "stall":
            broker.go_on()
        else:
            broker.start()
        send_until_acknowledged(producer, topic, b"after", reader)
        reader.until(b"after", 45)
        assert consumer.topic_ids().keys() == {topic}
    finally:
        if fault == "stall":
            broker.go_on()
        consumer.close()
        producer.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_closing_before_a_silent_broker_takes_five_seconds_at_most(
    broker: OwnKafka, client: str
) -> None:
    settings = Settings(kafka_bootstrap_servers=broker.bootstrap)
    topic = f"close-{uuid.uuid4().hex[:8]}"
    with open_admin(settings) as admin:
        admin.create(topic)
    threads = threading.active_count()
    consumer = open_consumer(settings, group=topic, topics=[topic], client=client)
    producer = open_producer(settings, client)
    try:
        producer.send(topic, b"before", key=b"k")
        producer.flush()
        Reader(consumer).until(b"before", 15)
        broker.stall()
        producer.send(topic, b"lost", key=b"k")
        for thing in (consumer, producer):
            began = time.monotonic()
            thing.close()
            assert time.monotonic() - began < 5
            thing.close()
    finally:
        broker.go_on()
    # What was left behind in the background ends once the broker answers.
    wait_until(
        lambda: threading.active_count() <= threads,
        timeout=15,
        what="no thread is left",
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_a_session_that_the_broker_does_not_allow_is_a_configuration_fault(
    broker: OwnKafka, client: str
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=broker.bootstrap,
        kafka_session_timeout_ms=1_000,
        kafka_heartbeat_interval_ms=300,
    )
    topic = f"session-{uuid.uuid4().hex[:8]}"
    with open_admin(settings) as admin:
        admin.create(topic)
    consumer = open_consumer(settings, group=topic, topics=[topic], client=client)
    try:
        with pytest.raises(ConfigurationFault, match="session timeout of 1000 ms"):
            Reader(consumer).until(b"never", 10)
    finally:
        consumer.close()


def signed_in(broker: OwnKafka, mechanism: str, password: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=broker.sasl_bootstrap,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username=USER,
        kafka_sasl_password=password,
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("client", CLIENTS)
def test_the_right_password_lets_every_client_in(
    broker: OwnKafka, client: str, mechanism: str
) -> None:
    settings = signed_in(broker, mechanism, PASSWORD)
    topic = f"sasl-{uuid.uuid4().hex[:8]}"
    with open_admin(settings) as admin:
        assert admin.create(topic)
    producer = open_producer(settings, client)
    consumer = open_consumer(settings, group=topic, topics=[topic], client=client)
    try:
        producer.send(topic, b"hello", key=b"k")
        producer.flush()
        Reader(consumer).until(b"hello", 15)
        assert consumer.topic_ids().keys() == {topic}
    finally:
        consumer.close()
        producer.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_password_is_a_configuration_fault_and_leaves_no_thread(
    broker: OwnKafka, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reason must not depend on what an application does with the log.
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    settings = signed_in(broker, "SCRAM-SHA-512", "wrong")
    before = threading.active_count()
    for attempt in (
        lambda: open_consumer(settings, group="g", topics=["t"], client=client),
        lambda: open_producer(settings, client),
        lambda: open_admin(settings),
    ):
        with pytest.raises(ConfigurationFault, match="refuses the credentials"):
            attempt()
    assert threading.active_count() <= before


def test_a_wrong_password_is_told_of_at_once(broker: OwnKafka) -> None:
    settings = signed_in(broker, "SCRAM-SHA-512", "wrong")
    began = time.monotonic()
    with pytest.raises(ConfigurationFault):
        open_admin(settings)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("client", CLIENTS)
def test_reading_an_absent_topic_does_not_create_it(
    broker: OwnKafka, client: str
) -> None:
    # This broker creates topics for whoever asks without saying no.
    settings = Settings(kafka_bootstrap_servers=broker.bootstrap)
    topic = f"absent-{uuid.uuid4().hex[:8]}"
    consumer = open_consumer(settings, group=topic, topics=[topic], client=client)
    try:
        deadline = time.monotonic() + 7
        while time.monotonic() < deadline:
            assert not consumer.poll_batch(10, 0.2).assigned
        with open_admin(settings) as admin:
            assert topic not in admin.list_topics()
    finally:
        consumer.close()
