"""A database that has no memory for a whole batch: halves of it are stored."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest

from rtmlops_lib.services.handler import LetterSink
from rtmlops_lib.services.partition import OwnedPartition
from rtmlops_lib.services.prepared import Letter, Prepared
from rtmlops_lib.services.tasks import WriteTask
from rtmlops_lib.stack._pg_binaries import embedded_binaries
from rtmlops_lib.store import BatchTooLarge, TopicRef
from rtmlops_lib.store.postgres import PostgresStore, backfill
from rtmlops_lib.streams import RawRecords, Reason
from tests.live.store.events import GROUP, World, events, moved
from tests.support.stacks import scratch_postgres

pytestmark = pytest.mark.live

DAYS = 500
STEPS = np.arange(DAYS) * 8_640  # a step is 10 s
PARTS = [range(first, first + 25) for first in range(0, DAYS, 25)]


@pytest.fixture(scope="module")
def small_server() -> Iterator[str]:
    """A server whose lock table holds fewer entries than the table has partitions."""
    binaries = embedded_binaries()
    if binaries is None:
        pytest.skip("the wheel with PostgreSQL has no build for this platform")
    # All of these are multiplied; what is left has room for some hundred locks.
    limits = {
        "max_locks_per_transaction": 10,
        "max_connections": 10,
        "max_wal_senders": 0,
        "max_worker_processes": 1,
        "autovacuum_worker_slots": 1,
        "autovacuum_max_workers": 1,
    }
    with scratch_postgres(binaries, **limits) as url:
        yield url


@pytest.fixture
def small_world(small_server: str) -> Iterator[World]:
    """A store whose table is partitioned by day, each partition with its indexes."""
    schema = f"t{uuid.uuid4().hex[:10]}"
    world = World(small_server, schema, PostgresStore(small_server, schema=schema))
    world.store.migrate([world.spec])
    world.sql("ALTER TABLE {s}.metrics RENAME TO plain_metrics")
    world.sql(
        "CREATE TABLE {s}.metrics (LIKE {s}.plain_metrics INCLUDING DEFAULTS, "
        "UNIQUE (server_id, time)) PARTITION BY RANGE (time)"
    )
    world.sql("CREATE INDEX ON {s}.metrics (cpu_usage)")  # a lock more each
    for part in PARTS:
        world.sql(
            "DO $$ BEGIN FOR day IN %s .. %s LOOP EXECUTE format("
            "'CREATE TABLE {s}.m%%s PARTITION OF {s}.metrics FOR VALUES FROM (%%L) "
            "TO (%%L)', day, timestamptz '2025-10-09 UTC' + day * interval '1 day', "
            "timestamptz '2025-10-10 UTC' + day * interval '1 day'); "
            "END LOOP; END $$",
            part[0],
            part[-1],
        )
    yield world
    # To drop it would take more locks than there are; the server goes as a whole.
    world.store.close()


def stored(world: World) -> int:
    """Count the rows, in pieces: all partitions in one query are too many as well."""
    return sum(
        world.sql(
            "SELECT count(*) FROM ("
            + " UNION ALL ".join(f"SELECT 1 FROM {{s}}.m{day}" for day in part)
            + ") AS rows"
        )[0][0]
        for part in PARTS
    )


class Sink(LetterSink):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    def send(self, letters: Sequence[Letter], refs: Mapping[str, TopicRef]) -> None:
        self.letters += letters

    def close(self) -> None:
        return


def test_a_batch_is_halved_until_it_fits_and_every_letter_sent_once(
    small_world: World,
) -> None:
    world = small_world
    position = moved(world.claim(0)[0], DAYS + 2)
    batch = events(STEPS)
    with pytest.raises(BatchTooLarge):
        world.store.write(GROUP, [batch], [position])
    raw = RawRecords(
        world.ref.topic, 0, [DAYS, DAYS + 1], [-1] * 2, [None] * 2, [b"?"] * 2, [[]] * 2
    )
    letters = [
        Letter("datacenter", raw, index, Reason.NOT_JSON, "") for index in (0, 1)
    ]
    sink = Sink()
    task = WriteTask(
        group=GROUP,
        chunks=[],
        prepared=Prepared([batch], letters),
        moves={OwnedPartition(position.topic_partition): position},
        sink=sink,
    )
    written = task.run(world.store, 20.0)
    assert written.rows == {"datacenter": DAYS} and not written.fenced
    assert (stored(world), world.stored_offset()) == (DAYS, DAYS + 2)
    assert [letter.index for letter in sink.letters] == [0, 1]


def test_what_was_stored_of_a_halved_batch_is_not_written_again(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = small_world
    position = moved(world.claim(0)[0], DAYS)
    task = WriteTask(
        group=GROUP,
        chunks=[],
        prepared=Prepared([events(STEPS)], []),
        moves={OwnedPartition(position.topic_partition): position},
        sink=None,
    )
    write, calls = PostgresStore.write, []

    def dies_after_a_portion(self: PostgresStore, *args: object, **more: object):
        if stored(world):
            calls.append(self)
            if len(calls) == 1:
                raise ConnectionError("planted")
        return write(self, *args, **more)

    monkeypatch.setattr(PostgresStore, "write", dies_after_a_portion)
    with pytest.raises(ConnectionError):
        task.run(world.store, 20.0)
    count = stored(world)
    assert 0 < count < DAYS and world.stored_offset() == count
    assert task.run(world.store, 20.0).rows == {"datacenter": DAYS}
    assert (stored(world), world.stored_offset()) == (DAYS, DAYS)


def test_a_backfill_is_halved_too(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "CHUNKS", DAYS)
    done: list[int] = []
    written = small_world.store.backfill([events(STEPS)], done.append)
    assert written.rows == {"datacenter": DAYS} and sum(done) == DAYS > done[0]
    assert stored(small_world) == DAYS
