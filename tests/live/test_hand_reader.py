"""The bare reader of chapter 04 against a broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.teaching.hand_reader import HandReader
from rtmlops_lib.transport import open_admin, open_producer

pytestmark = pytest.mark.live

N = 25


@pytest.fixture
def settings(kafka_bootstrap: str) -> Settings:
    return Settings(kafka_bootstrap_servers=kafka_bootstrap)


@pytest.fixture
def topic(settings: Settings, topic_prefix: str) -> Iterator[str]:
    name = f"{topic_prefix}hand"
    admin, producer = open_admin(settings), open_producer(settings)
    try:
        admin.create(name, partitions=1)
        for number in range(N):
            producer.send(name, str(number).encode(), partition=0)
        producer.flush()
        yield name
        admin.delete([name])
    finally:
        producer.close()
        admin.close()


@pytest.fixture
def reader(settings: Settings, topic: str) -> Iterator[HandReader]:
    opened = HandReader(settings, topic, group=f"{topic}-group")
    yield opened
    opened.close()


def test_batches_are_whole_but_the_last(reader: HandReader) -> None:
    batches = list(reader.batches(10, start=0))
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert [r.offset for batch in batches for r in batch] == list(range(N))


def test_reading_begins_where_it_is_told(reader: HandReader) -> None:
    values = [r.value for batch in reader.batches(4, start=19) for r in batch]
    assert values == [str(number).encode() for number in range(19, N)]


def test_at_the_end_there_is_nothing(reader: HandReader) -> None:
    assert list(reader.batches(10, start=N)) == []


def test_reading_commits_nothing(reader: HandReader) -> None:
    assert len(list(reader.batches(10, start=0))) == 3
    assert reader.committed() == 0


def test_a_commit_outlives_the_reader(
    settings: Settings, topic: str, reader: HandReader
) -> None:
    reader.commit(12)
    reader.close()
    heir = HandReader(settings, topic, group=f"{topic}-group")
    try:
        assert heir.committed() == 12
    finally:
        heir.close()
