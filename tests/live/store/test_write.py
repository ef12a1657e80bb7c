"""Rows and offsets, together or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.store import Takeover, TopicRef
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import ColumnBatch, Reason, TopicPartition
from tests.live.store.events import GROUP, World, events, moved

pytestmark = pytest.mark.live


def test_new_events_are_stored_and_the_offset_moves(world: World) -> None:
    position = moved(world.claim(0)[0], 100)
    written = world.store.write(GROUP, [events(range(100))], [position])
    assert written.rows == {"datacenter": 100}
    assert (world.count(), world.stored_offset()) == (100, 100)


def test_offsets_move_without_events(world: World) -> None:
    position = moved(world.claim(0)[0], 7)
    assert world.store.write(GROUP, [], [position]).fenced == frozenset()
    assert world.stored_offset() == 7


def test_repeats_are_counted_and_not_stored(world: World) -> None:
    first = moved(world.claim(0)[0], 100)
    world.store.write(GROUP, [events(range(100))], [first])
    again = events(range(50, 150), first_offset=100)
    written = world.store.write(GROUP, [again], [moved(first, 200)])
    assert (written.rows["datacenter"], written.duplicates["datacenter"]) == (50, 50)
    assert written.refused == [] and world.count() == 150


def test_a_different_event_of_the_same_identity_is_a_conflict(world: World) -> None:
    first = moved(world.claim(0)[0], 10)
    world.store.write(GROUP, [events(range(10))], [first])
    other = events([3], first_offset=10, cpu_usage=99.0)
    known = events([4], first_offset=11, attributes='{"rack": "r1"}')
    heard: list = []
    written = world.store.write(
        GROUP,
        [ColumnBatch.concat([other, known])],
        [moved(first, 12)],
        before_commit=heard.extend,
    )
    assert [(r.place.offset, r.reason) for r in heard] == [
        (10, Reason.CONFLICT),
        (11, Reason.CONFLICT),
    ]
    assert "cpu_usage" in heard[0].detail and "attributes" in heard[1].detail
    assert written.refused == heard and written.duplicates["datacenter"] == 0
    assert world.stored_offset() == 12 and world.count() == 10


def test_within_a_batch_the_first_event_of_an_identity_wins(world: World) -> None:
    batch = ColumnBatch.concat(
        [
            events([0], cpu_usage=1.0),
            events([0], first_offset=1, cpu_usage=1.0),
            events([0], first_offset=2, cpu_usage=2.0),
        ]
    )
    written = world.store.write(GROUP, [batch], [moved(world.claim(0)[0], 3)])
    assert (written.rows["datacenter"], written.duplicates["datacenter"]) == (1, 1)
    assert [r.place.offset for r in written.refused] == [2]
    assert world.sql("SELECT cpu_usage FROM {s}.metrics") == [(1.0,)]


def test_the_same_place_read_by_a_later_spec_is_a_repeat(world: World) -> None:
    first = moved(world.claim(0)[0], 5)
    world.store.write(GROUP, [events(range(5), attributes='{"gpu": 1}')], [first])
    again = events(range(5), attributes=None)
    written = world.store.write(GROUP, [again], [moved(first, 6)])
    assert written.duplicates["datacenter"] == 5 and written.refused == []


def test_the_same_place_of_a_recreated_topic_is_not_the_same_event(
    world: World,
) -> None:
    world.store.write(GROUP, [events(range(5))], [moved(world.claim(0)[0], 5)])
    world.ref = TopicRef("cluster", "topic-2", world.ref.topic)
    position = moved(world.claim(0)[0], 5)
    other = events(range(5), cpu_usage=77.0)
    written = world.store.write(GROUP, [other], [position])
    assert len(written.refused) == 5 and written.duplicates["datacenter"] == 0


def test_every_type_and_character_comes_back(world: World) -> None:
    batch = events(range(4), attributes='{"név": "€😀", "n": [1, null]}')
    batch.columns["server_id"][:] = ["a\tb", "\\N", "é€😀", "q\"u'o;te"]
    batch.columns["power_kw"][:] = [5e-324, 1.7976931348623157e308, -0.0, 0.1]
    world.store.write(GROUP, [batch], [moved(world.claim(0)[0], 4)])
    back = world.store.read(
        world.spec, columns=["time", "server_id", "power_kw", "attributes"]
    )
    assert back["server_id"].tolist() == batch.columns["server_id"].tolist()
    assert back["power_kw"].tolist() == batch.columns["power_kw"].tolist()
    assert back["time"].astype("int64").tolist() == batch.time.tolist()
    assert "€😀" in back["attributes"][0]


def test_an_older_epoch_is_fenced_and_writes_nothing(world: World) -> None:
    old = world.claim(0, 1)
    with closing(PostgresStore(world.url, schema=world.schema)) as other:
        new = world.claim(0, store=other)
        written = world.store.write(
            GROUP, [events(range(5))], [moved(old[0], 5), moved(old[1], 5)]
        )
        assert written.fenced == {TopicPartition(world.ref.topic, 0)}
        assert world.count() == 0 and world.stored_offset(1) == 0
        assert not other.write(GROUP, [events(range(5))], [moved(new[0], 5)]).fenced


def test_a_moved_offset_fences(world: World) -> None:
    position = world.claim(0)[0]
    world.store.reset_offsets(GROUP, {position.topic_partition: (position.ref, 3)})
    assert world.store.write(GROUP, [], [moved(position, 5)]).fenced
    assert world.stored_offset() == 3


def test_what_before_commit_raises_undoes_the_write(world: World) -> None:
    position = moved(world.claim(0)[0], 5)

    def fail(refused: object) -> None:
        raise RuntimeError("no broker")

    with pytest.raises(RuntimeError, match="no broker"):
        world.store.write(GROUP, [events(range(5))], [position], before_commit=fail)
    assert (world.count(), world.stored_offset()) == (0, 0)
    assert world.store.write(GROUP, [events(range(5))], [position]).rows


def test_a_poison_row_is_refused_and_the_others_are_stored(world: World) -> None:
    world.sql("ALTER TABLE {s}.metrics ADD CHECK (cpu_usage <> 44.5)")
    batch = events(range(500), servers=np.arange(500) % 5)
    poison = np.flatnonzero(batch.columns["cpu_usage"] == 44.5)
    assert 0 < len(poison) < 20
    heard: list = []
    written = world.store.write(
        GROUP, [batch], [moved(world.claim(0)[0], 500)], before_commit=heard.extend
    )
    assert {r.place.offset for r in written.refused} == set(poison.tolist())
    assert {r.reason for r in heard} == {Reason.REFUSED}
    assert all("23514" in r.detail for r in heard)
    assert world.count() == 500 - len(poison) and world.stored_offset() == 500


def test_bytes_that_are_no_text_are_refused_by_row(world: World) -> None:
    batch = events(range(100))
    batch.columns["server_id"][41] = "srv-\ud800"
    batch.columns["server_id"][42] = "srv-\x00"
    written = world.store.write(GROUP, [batch], [moved(world.claim(0)[0], 100)])
    assert [r.place.offset for r in written.refused] == [41, 42]
    assert all("22021" in r.detail for r in written.refused)


def test_a_key_too_long_for_the_index_is_refused_by_row(world: World) -> None:
    batch = events(range(20))
    rng = np.random.default_rng(1)
    batch.columns["server_id"][5] = "".join(map(chr, rng.integers(33, 5_000, 9_000)))
    written = world.store.write(GROUP, [batch], [moved(world.claim(0)[0], 20)])
    assert [r.place.offset for r in written.refused] == [5]
    assert "54000" in written.refused[0].detail


def test_a_refused_repeat_and_a_conflict_in_one_batch(world: World) -> None:
    position = moved(world.claim(0)[0], 10)
    world.store.write(GROUP, [events(range(10))], [position])
    world.sql("ALTER TABLE {s}.metrics ADD CHECK (server_id <> 'srv-666')")
    batch = ColumnBatch.concat(
        [
            events(range(5, 15), first_offset=10),
            events([7], first_offset=20, cpu_usage=99.0),
            events([1], servers=666, first_offset=21),
        ]
    )
    written = world.store.write(GROUP, [batch], [moved(position, 22)])
    assert (written.rows["datacenter"], written.duplicates["datacenter"]) == (5, 5)
    assert sorted((r.place.offset, r.reason) for r in written.refused) == [
        (20, Reason.CONFLICT),
        (21, Reason.REFUSED),
    ]


@pytest.mark.parametrize("size", [60, 5_000])
def test_a_database_that_refuses_most_rows_is_set_up_wrongly(
    plain_world: World, size: int
) -> None:
    plain_world.sql("ALTER TABLE {s}.metrics ADD CHECK (cpu_usage < 0)")
    position = moved(plain_world.claim(0)[0], size)
    with pytest.raises(ConfigurationFault, match="more than half") as caught:
        plain_world.store.write(GROUP, [events(range(size))], [position])
    assert caught.value.remedy and plain_world.stored_offset() == 0


def test_a_missing_table_is_a_configuration_fault_until_mended(world: World) -> None:
    position = moved(world.claim(0)[0], 5)
    world.sql("ALTER TABLE {s}.metrics RENAME TO elsewhere")
    with pytest.raises(ConfigurationFault, match="db migrate"):
        world.store.write(GROUP, [events(range(5))], [position])
    world.sql("ALTER TABLE {s}.elsewhere RENAME TO metrics")
    assert world.store.write(GROUP, [events(range(5))], [position]).rows


@pytest.mark.parametrize("staged", [False, True])
def test_a_field_that_changed_its_type_is_refused_by_name(
    world: World, staged: bool
) -> None:
    # COPY would take the bytes of a float for an integer and store what they spell.
    fields = {name: field.model_dump() for name, field in world.spec.fields.items()}
    fields["disk_io_mbps"]["type"] = "integer"
    spec = world.spec.evolve(fields=fields)
    position = world.claim(0)[0]
    batch = events(range(20), spec=spec)
    batch.columns["disk_io_mbps"] = np.ones(20, np.int64)
    if staged:  # the second half repeats the first
        batch = batch.take(np.arange(20) % 10)
    with pytest.raises(ConfigurationFault, match=r"metrics\.disk_io_mbps is double"):
        world.store.write(GROUP, [batch], [moved(position, 20)])
    assert world.count() == 0
    assert not world.store.write(
        GROUP, [events(range(20))], [moved(position, 20)]
    ).fenced
    assert world.count() == 20


def test_claiming_again_raises_the_epoch_and_keeps_the_offset(world: World) -> None:
    first = moved(world.claim(0)[0], 9)
    world.store.write(GROUP, [], [first])
    again = world.claim(0)[0]
    assert (again.next_offset, again.epoch) == (9, first.epoch + 1)


def test_a_claim_starts_where_it_must(world: World) -> None:
    tp = TopicPartition("x", 0)

    def claim(topic_id: str, initial: int, log_start: int):
        ref = TopicRef("cluster", topic_id, "x")
        return world.store.claim(GROUP, {tp: Takeover(ref, initial, log_start)})[tp]

    assert claim("a", initial=50, log_start=10).next_offset == 50
    assert claim("a", initial=70, log_start=10).next_offset == 50
    lost = claim("a", initial=70, log_start=60)
    assert (lost.next_offset, lost.lost) == (60, 10)
    assert claim("a", initial=70, log_start=60).lost == 0
    alerts = world.sql("SELECT kind, detail->>'events_lost' FROM {s}.alerts")
    assert alerts == [("events_lost", "10")]
    # Deleted and made anew: from its beginning, and nothing counts as lost.
    recreated = claim("b", initial=500, log_start=2)
    assert (recreated.next_offset, recreated.lost) == (2, 0)


def test_eight_writers_with_repeats_on_shared_partitions_do_not_deadlock(
    plain_world: World,
) -> None:
    world = plain_world

    def work(seed: int, store: PostgresStore) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(12):
            chosen = rng.choice(4, size=2, replace=False).tolist()
            positions = world.claim(*chosen, store=store)
            steps = rng.permutation(rng.integers(0, 400, 200))
            batch = events(np.unique(steps)[::-1], partition=chosen[0])
            store.write(
                GROUP,
                [batch],
                [moved(p, p.next_offset + 1) for p in positions.values()],
            )

    _side_by_side(world, work)
    repeated = "SELECT count(*), count(DISTINCT (server_id, time)) FROM {s}.metrics"
    assert len(set(world.sql(repeated)[0])) == 1


def test_writers_that_meet_the_same_events_in_other_orders_all_get_through(
    plain_world: World,
) -> None:
    """A producer without a key sends an event and its repeat to any two partitions."""
    world = plain_world

    together = threading.Barrier(4, timeout=30)

    def work(partition: int, store: PostgresStore) -> None:
        position = world.claim(partition, store=store)[partition]
        for part in range(3):
            steps = np.arange(part * 5_000, part * 5_000 + 5_000)
            position = moved(position, position.next_offset + len(steps))
            batch = events(steps[:: (-1) ** partition], partition=partition)
            together.wait()
            store.write(GROUP, [batch], [position], deadline_seconds=60)

    _side_by_side(world, work, writers=4)
    assert world.count() == 15_000


def _side_by_side(
    world: World, work: Callable[[int, PostgresStore], None], writers: int = 8
) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with closing(PostgresStore(world.url, schema=world.schema)) as store:
                work(number, store)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_steady_repeats_leave_no_dead_rows(plain_world: World) -> None:
    world = plain_world
    position = world.claim(0)[0]
    rng = np.random.default_rng(3)
    for number in range(40):
        fresh = np.arange(number * 490, number * 490 + 490)
        old = rng.integers(0, max(1, number * 490), 10 if number else 0)
        steps = np.concatenate([fresh, old])
        position = moved(position, position.next_offset + len(steps))
        batch = events(steps, first_offset=position.expected)
        world.store.write(GROUP, [batch], [position])
    assert world.count() == 40 * 490
    world.sql("SELECT pg_stat_force_next_flush()")
    dead = world.store.stats().set_index("table_name").loc["metrics", "dead_rows"]
    # What this very store has written is expected: no COPY fails, nothing is staged.
    assert dead == 0 and not world.store._writer._staged_left


def test_repeats_of_another_stores_rows_go_by_the_temporary_table(
    plain_world: World,
) -> None:
    world = plain_world
    first = moved(world.claim(0)[0], 10)
    with closing(PostgresStore(world.url, schema=world.schema)) as former:
        former.write(GROUP, [events(range(10))], [first])
    position = moved(first, 20)
    written = world.store.write(GROUP, [events(range(10), first_offset=10)], [position])
    assert written.duplicates == {"datacenter": 10}
    left = world.store._writer._staged_left
    assert left == {"metrics": 50}
    for number in range(50):
        position = moved(position, position.next_offset + 2)
        # A fresh row and an expected repeat.
        batch = events([1_000 + number, 5], first_offset=position.expected)
        written = world.store.write(GROUP, [batch], [position])
        assert written.rows == {"datacenter": 1}
    assert left == {"metrics": 0}


def test_an_expected_repeat_that_is_none_is_stored(plain_world: World) -> None:
    world = plain_world
    first = moved(world.claim(0)[0], 10)
    world.store.write(GROUP, [events(range(10))], [first])
    world.sql("DELETE FROM {s}.metrics")
    position = moved(first, 20)
    batch = events(range(5, 15), first_offset=10)
    assert world.store.write(GROUP, [batch], [position]).rows == {"datacenter": 10}
    assert world.count() == 10


def test_backfill_again_changes_nothing(world: World) -> None:
    batches = [events(range(1_000)), events(range(500, 1_500))]
    seen: list[int] = []
    done = world.store.backfill(batches, seen.append)
    assert done.rows == {"datacenter": 1_500} and sum(seen) == 2_000
    again = world.store.backfill(batches)
    assert again.rows == {"datacenter": 0}
    assert again.duplicates == {"datacenter": 2_000} and again.refused == []
    places = "SELECT DISTINCT kafka_partition, kafka_offset FROM {s}.metrics"
    assert world.sql(places) == [(-1, -1)]


def test_two_streams_go_in_one_write(world: World) -> None:
    other = replace(
        events(range(5)), spec=world.spec.evolve(name="second", table="second")
    )
    world.store.migrate([other.spec])
    position = moved(world.claim(0)[0], 5)
    written = world.store.write(GROUP, [events(range(3)), other], [position])
    assert written.rows == {"datacenter": 3, "second": 5}
