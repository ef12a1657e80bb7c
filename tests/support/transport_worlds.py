"""The adapters under the contract, each with a broker."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence

from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport import (
    EventConsumer,
    EventProducer,
    open_admin,
    open_consumer,
    open_producer,
)
from rtmlops_lib.transport.memory import MemoryBroker
from tests.support.transport_contract import World


class MemoryWorld(World):
    name = "memory"

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix)
        self.broker = MemoryBroker()

    def create(self, topic: str, partitions: int, configs: Mapping[str, str]) -> None:
        limit = int(configs.get("max.message.bytes", 1_048_588))
        self.broker.create_topic(topic, partitions=partitions, max_message_bytes=limit)

    def grow(self, topic: str, partitions: int) -> None:
        more = partitions - len(self.broker.topics[topic].logs)
        self.broker.add_partitions(topic, more)

    def recreate(self, topic: str) -> None:
        self.broker.recreate_topic(topic)

    def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        self.broker.delete_records(before)

    def transaction(self, topic: str, values: Sequence[bytes], *, commit: bool) -> None:
        if not values:
            return
        if commit:
            self.put(topic, values)
        tp = TopicPartition(topic, 0)
        self.broker.skip_offsets(tp, 1 if commit else len(values) + 1)

    def committed(self, group: str) -> dict[TopicPartition, int]:
        found = self.broker.committed.items()
        return {tp: offset for (owner, tp), offset in found if owner == group}

    def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        for tp, offset in offsets.items():
            self.broker.committed[group, tp] = offset

    def new_consumer(
        self, group: str, topics: Sequence[str], group_instance_id: str | None
    ) -> EventConsumer:
        return self.broker.consumer(
            group=group, topics=topics, group_instance_id=group_instance_id
        )

    def new_producer(self) -> EventProducer:
        return self.broker.producer()


class KafkaWorld(World):
    """A real broker, seen through one of the clients."""

    def __init__(self, client: str, bootstrap: str, prefix: str) -> None:
        super().__init__(prefix)
        self.name = client
        self.client = client
        self.settings = Settings(kafka_bootstrap_servers=bootstrap)
        self.admin = open_admin(self.settings)
        self.made: list[str] = []

    def create(self, topic: str, partitions: int, configs: Mapping[str, str]) -> None:
        assert self.admin.create(topic, partitions=partitions, configs=configs)
        self.made.append(topic)

    def grow(self, topic: str, partitions: int) -> None:
        self.admin._client.create_partitions({topic: partitions})

    def recreate(self, topic: str) -> None:
        self.admin.delete([topic])
        deadline = time.monotonic() + 10
        while not self.admin.create(topic):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        self.admin.delete_records(before)

    def transaction(self, topic: str, values: Sequence[bytes], *, commit: bool) -> None:
        from confluent_kafka import Producer

        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap_servers,
                "transactional.id": uuid.uuid4().hex,
            }
        )
        producer.init_transactions(20)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=0)
        producer.flush(20)
        if commit:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)

    def committed(self, group: str) -> dict[TopicPartition, int]:
        return self.admin.group_offsets(group)

    def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        from kafka import TopicPartition as ClientPartition
        from kafka.structs import OffsetAndMetadata

        self.admin._client.alter_group_offsets(
            group,
            {
                ClientPartition(*tp): OffsetAndMetadata(offset, "", -1)
                for tp, offset in offsets.items()
            },
        )

    def new_consumer(
        self, group: str, topics: Sequence[str], group_instance_id: str | None
    ) -> EventConsumer:
        return open_consumer(
            self.settings,
            group=group,
            topics=topics,
            client=self.client,
            group_instance_id=group_instance_id,
        )

    def new_producer(self) -> EventProducer:
        return open_producer(self.settings, self.client)

    def close(self) -> None:
        super().close()
        self.admin.delete(self.made)
        self.admin.close()
