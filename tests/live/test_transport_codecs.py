"""Records as other producers compress them."""

from __future__ import annotations

import time

import confluent_kafka
import pytest
from kafka import codec

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport import EventConsumer, open_admin, open_consumer

pytestmark = pytest.mark.live
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def produce(bootstrap: str, topic: str, compression: str) -> None:
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "compression.type": compression}
    )
    for number in range(100):
        producer.produce(topic, value=f"{compression} {number}" + 50 * "x", key=b"k")
    assert producer.flush(15) == 0


def read(consumer: EventConsumer, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    deadline = time.monotonic() + 30
    while len(values) < count:
        assert time.monotonic() < deadline, f"{len(values)} of {count}"
        polled = consumer.poll_batch(1_000, 0.2)
        for partition in polled.assigned:
            consumer.seek(partition, 0)
        consumer.resume(polled.assigned)
        for records in polled.records:
            values += records.values
    return values


@pytest.fixture
def topic(kafka_bootstrap: str, topic_prefix: str) -> str:
    name = f"{topic_prefix}codecs"
    with open_admin(Settings(kafka_bootstrap_servers=kafka_bootstrap)) as admin:
        admin.create(name)
    return name


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_every_codec_of_kafka_is_read(
    kafka_bootstrap: str, topic: str, client: str
) -> None:
    for compression in CODECS:
        produce(kafka_bootstrap, topic, compression)
    settings = Settings(kafka_bootstrap_servers=kafka_bootstrap)
    consumer = open_consumer(settings, group=topic, topics=[topic], client=client)
    try:
        found = read(consumer, 100 * len(CODECS))
    finally:
        consumer.close()
    assert len(set(found)) == 100 * len(CODECS)


def test_a_codec_that_is_not_installed_is_a_configuration_fault_at_once(
    kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(kafka_bootstrap, topic, "zstd")
    monkeypatch.setattr(codec, "has_zstd", lambda: False)
    settings = Settings(kafka_bootstrap_servers=kafka_bootstrap)
    consumer = open_consumer(settings, group=topic, topics=[topic])
    try:
        with pytest.raises(ConfigurationFault, match="zstd.*--client confluent"):
            read(consumer, 1)
        # Asked again it says so again, rather than never to come back.
        with pytest.raises(ConfigurationFault):
            consumer.seek(TopicPartition(topic, 0), 0)
            read(consumer, 1)
    finally:
        began = time.monotonic()
        consumer.close()
        assert time.monotonic() - began < 5
