"""Topics, dead letters and their commands against a real Kafka."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import RawRecords, TopicPartition, builtin_specs
from rtmlops_lib.transport import (
    DeadLetterSink,
    TopicAdmin,
    open_admin,
    open_producer,
    read_dead_letters,
)

pytestmark = pytest.mark.live


@pytest.fixture
def kafka(kafka_bootstrap: str) -> Settings:
    return Settings(kafka_bootstrap_servers=kafka_bootstrap)


@pytest.fixture
def admin(kafka: Settings, topic_prefix: str) -> Iterator[TopicAdmin]:
    with open_admin(kafka) as admin:
        yield admin
        mine = [t for t in admin.list_topics() if t.startswith(topic_prefix)]
        admin.delete(mine)


def test_topics_are_made_once_and_left_alone(
    admin: TopicAdmin, topic_prefix: str
) -> None:
    spec = builtin_specs()["datacenter"].evolve(
        topic=topic_prefix + "m", partitions=2, max_value_bytes=3_000_000
    )
    assert admin.ensure_topics([spec]) == [spec.topic, spec.topic + ".dlq"]
    before = admin.describe([spec.topic, spec.topic + ".dlq"])
    assert admin.ensure_topics([spec.evolve(partitions=5)]) == []
    assert admin.describe([spec.topic, spec.topic + ".dlq"]) == before
    source, letters = before[spec.topic], before[spec.topic + ".dlq"]
    assert source.partitions == 2 and source.max_message_bytes > 3_000_000
    assert letters.max_message_bytes == source.max_message_bytes + 64 * 1024


def test_asking_for_absent_topics_is_no_error(
    admin: TopicAdmin, topic_prefix: str
) -> None:
    absent = topic_prefix + "absent"
    assert admin.describe([absent]) == {} == admin.topic_ids([absent])
    assert admin.end_offsets([absent]) == {}
    admin.delete([absent])


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_every_letter_is_read_back_once(
    kafka: Settings, admin: TopicAdmin, topic_prefix: str, client: str
) -> None:
    topic = topic_prefix + "source"
    admin.create(topic, configs={"max.message.bytes": "200000"})
    whole, larger = os.urandom(199_000), os.urandom(300_000)
    values = [None, b"{", whole, larger]
    records = RawRecords(
        topic, 0, [3, 4, 5, 6], [1] * 4, [None, b"k", b"k", b"k"], values, [()] * 4
    )
    producer = open_producer(kafka, client)
    try:
        sink = DeadLetterSink(producer, admin)
        assert sink.topic_for(topic) == topic + ".dlq"
        own = DeadLetterSink(producer, admin, group="predictor")
        assert own.topic_for(topic) == topic + ".predictor.dlq"
        refused = [(i, "not_json", f"number {i}") for i in range(4)]
        for _ in range(3):  # at least once on the wire
            sent = sink.send(records, refused, cluster_id="c", topic_id="t")
            assert sent == 4
        sink.flush()
    finally:
        producer.close()
    letters = list(read_dead_letters(kafka, topic + ".dlq"))
    assert [letter.offset for letter in letters] == [3, 4, 5, 6]
    assert [letter.value for letter in letters[:3]] == values[:3]
    assert letters[3].truncated and larger.startswith(letters[3].value or b"-")
    assert admin.end_offsets([topic + ".dlq"]) == {
        TopicPartition(topic + ".dlq", 0): 12
    }


def test_the_commands_create_and_list(
    admin: TopicAdmin, topic_prefix: str, kafka_bootstrap: str
) -> None:
    from typer.testing import CliRunner

    from rtmlops_lib.cli.topics import app

    run = CliRunner(
        env={
            "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
            "RTMLOPS_ENV_FILE": "",
        }
    )
    create = ["create", "--topic-prefix", topic_prefix, "--json"]
    made = json.loads(run.invoke(app, create).stdout)["created"]
    assert topic_prefix + "datacenter-metrics" in made and len(made) == 6
    assert json.loads(run.invoke(app, create).stdout) == {"created": []}
    assert "all there" in run.invoke(app, create[:-1]).stdout
    rows = json.loads(run.invoke(app, ["list", "--json"]).stdout)
    mine = {row["topic"]: row for row in rows if row["topic"] in made}
    assert mine.keys() == set(made)
    assert mine[topic_prefix + "datacenter-metrics"]["partitions"] == 3
    assert all(row["records"] == 0 for row in mine.values())
    assert made[0] in run.invoke(app, ["list"], env={"COLUMNS": "200"}).stdout
