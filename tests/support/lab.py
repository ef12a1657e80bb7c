"""A corner of the live stack for one test: own topics, own schema."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import confluent_kafka
import psycopg2

from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import StreamSpec, builtin_specs
from rtmlops_lib.transport.factory import open_admin


@dataclass(frozen=True)
class Letter:
    """A dead letter, read without the library."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: str


class Lab:
    """Topics and tables of one test, and questions about them.

    Everything but topic creation and migration goes past the library: raw SQL and
    a raw producer see what is really there.
    """

    def __init__(self, settings: Settings, folder: Path, **changes: Any) -> None:
        self.settings = settings
        self.folder = folder
        self.spec: StreamSpec = builtin_specs()["datacenter"].evolve(
            topic=settings.topic_prefix + "datacenter-metrics", **changes
        )

    def create(self) -> None:
        with closing(open_store(self.settings)) as store:
            store.migrate([self.spec])
        self.create_topic()

    def create_topic(self) -> None:
        with open_admin(self.settings) as admin:
            admin.ensure_topics([self.spec])

    def delete_topic(self) -> None:
        with open_admin(self.settings) as admin:
            admin.delete([self.spec.topic])

    @property
    def table(self) -> str:
        return f"{self.settings.database_schema}.{self.spec.table}"

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own."""
        url = self.settings.database_url.get_secret_value()
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall() if cursor.description else []

    def stored(self) -> set[tuple[str, str]]:
        """Return the identities in the table, times as the producer wrote them."""
        return set(
            self.sql(
                "SELECT server_id, to_char(time AT TIME ZONE 'UTC', "
                f'\'YYYY-MM-DD"T"HH24:MI:SS"Z"\') FROM {self.table}'
            )
        )

    def count(self) -> int:
        return int(self.sql(f"SELECT count(*) FROM {self.table}")[0][0])

    def consumed(self) -> int:
        """Return the sum of the stored offsets."""
        schema = self.settings.database_schema
        query = f"SELECT coalesce(sum(next_offset), 0) FROM {schema}.stream_offsets"
        return int(self.sql(query)[0][0])

    def produce(
        self,
        records: Iterable[tuple[bytes | None, bytes | None]],
        *,
        partition: int | None = None,
    ) -> dict[int, tuple[int, int]]:
        """Send with somebody else's client; return (partition, offset) by index."""
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap_servers,
                "linger.ms": 5,
                "queue.buffering.max.messages": 500_000,
            }
        )
        places: dict[int, tuple[int, int]] = {}

        def delivered(index: int) -> Any:
            def note(error: Any, message: Any) -> None:
                assert error is None, error
                places[index] = (message.partition(), message.offset())

            return note

        for index, (key, value) in enumerate(records):
            arguments: dict[str, Any] = {}
            if partition is not None:
                arguments["partition"] = partition
            producer.produce(
                self.spec.topic,
                key=key,
                value=value,
                on_delivery=delivered(index),
                **arguments,
            )
            producer.poll(0)
        assert producer.flush(60) == 0
        return places

    def dead_letters(self, suffix: str = ".dlq") -> list[Letter]:
        """Return the dead letters, one a (topic, partition, offset), in that order."""
        topic = self.spec.topic + suffix
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap_servers,
                "group.id": "unused",
                "enable.auto.commit": False,
            }
        )
        try:
            known = consumer.list_topics(timeout=10).topics
            if topic not in known:
                return []
            parts = [
                confluent_kafka.TopicPartition(topic, number, 0)
                for number in known[topic].partitions
            ]
            ends = {
                part.partition: consumer.get_watermark_offsets(part, timeout=10)[1]
                for part in parts
            }
            consumer.assign(parts)
            left = sum(ends.values())
            found: dict[tuple[str, int, int], Letter] = {}
            while left:
                for message in consumer.consume(min(left, 1_000), timeout=10):
                    assert message.error() is None, message.error()
                    left -= 1
                    letter = _letter(message)
                    found[letter.topic, letter.partition, letter.offset] = letter
            return [found[place] for place in sorted(found)]
        finally:
            consumer.close()


def _letter(message: Any) -> Letter:
    headers = {name: value.decode() for name, value in message.headers() if value}
    return Letter(
        topic=headers["topic"],
        partition=int(headers["partition"]),
        offset=int(headers["offset"]),
        reason=headers["reason"],
        detail=headers["detail"],
        key=message.key().decode(),
    )
