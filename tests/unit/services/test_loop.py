"""The consume loop's promises, one at a time, without a network."""

from __future__ import annotations

import json
import threading
import time

import pytest

from rtmlops_lib.services.loop import ConsumeLoop
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport.errors import MemberFenced, TransportUnavailable
from tests.support.foreign import MALFORMED, event
from tests.support.memory_store import MemoryStore
from tests.unit.services.conftest import SPEC, Running, World, eventually

TOPIC = SPEC.topic


def good(serial: int, **changes: object) -> bytes:
    return json.dumps({**event(serial % 5, serial // 5), **changes}).encode()


def fill(world: World, count: int, partition: int = 0, first: int = 0) -> None:
    for serial in range(first, first + count):
        world.send(b"k", good(serial), partition)


def _reasons(running: Running) -> str:
    return " ".join(running.health.reasons)


def count_polls(running: Running) -> list[float]:
    """Return a list that gets the time of each poll from now on."""
    consumer = running.loop._consumer
    polls: list[float] = []
    poll_batch = consumer.poll_batch

    def counted(*arguments: object) -> object:
        polls.append(time.monotonic())
        return poll_batch(*arguments)

    consumer.poll_batch = counted
    return polls


def test_stores_events_and_moves_offsets(world: World) -> None:
    fill(world, 50)
    running = world.start()
    eventually(lambda: len(world.database.rows) == 50)
    assert world.stored() == 50
    eventually(lambda: running.sample("rtmlops_rows_total", stream="datacenter") == 50)
    assert running.finish() == 0


def test_is_ready_once_everything_is_claimed(world: World) -> None:
    running = world.start()
    assert not running.health.ready
    eventually(lambda: running.health.ready)
    assert running.sample("rtmlops_ready") == 1
    running.finish()
    assert running.sample("rtmlops_ready") == 0


def test_a_member_without_partitions_is_neither_ready_nor_idle(world: World) -> None:
    for _ in range(3):
        world.start()
    eventually(lambda: all(running.health.ready for running in world.running))
    fourth = world.start(until_idle=0.05, max_wait=1.0)
    eventually(lambda: "no partition is assigned yet" in fourth.health.reasons)
    eventually(lambda: fourth.code == 3)


def test_until_idle_ends_with_zero_when_everything_is_stored(world: World) -> None:
    fill(world, 20)
    running = world.start(until_idle=0.1)
    running.thread.join(20)
    assert running.code == 0
    assert len(world.database.rows) == 20


def test_until_idle_gives_up_with_three_while_the_store_is_away(world: World) -> None:
    fill(world, 5)
    store = MemoryStore(world.database)
    store.misconfigured = True
    running = world.start(store, until_idle=0.1, max_wait=0.5)
    running.thread.join(20)
    assert running.code == 3
    assert world.database.rows == {}


def test_broken_records_become_letters_before_their_offsets_move(world: World) -> None:
    sample = event(1, 0)
    for _, build in MALFORMED.values():
        world.send(b"k", build(sample))
    world.letters.failures = 2
    running = world.start()
    eventually(lambda: world.stored() == len(MALFORMED))
    assert sorted(world.letters.kept.values()) == sorted(
        reason for reason, _ in MALFORMED.values()
    )
    assert running.sample("rtmlops_write_retries_total") >= 2
    running.finish()


def test_a_conflict_is_a_letter_and_a_repeat_is_not(world: World) -> None:
    world.send(b"k", good(0))
    world.send(b"k", good(0))
    world.send(b"k", good(0, cpu_usage=99))
    running = world.start()
    eventually(lambda: world.stored() == 3)
    assert list(world.letters.kept.values()) == ["conflict"]
    name = "rtmlops_duplicates_total"
    eventually(lambda: running.sample(name, stream="datacenter") == 1)
    running.finish()


def test_null_and_other_record_keys_are_accepted_and_counted(world: World) -> None:
    sample = event(1, 0)
    world.send(None, good(0))
    world.send(b"somebody", good(1))
    world.send(b"k", b"broken")
    world.send(str(sample["server_id"]).encode(), json.dumps(sample).encode())
    running = world.start()
    eventually(lambda: world.stored() == 4)
    name = "rtmlops_foreign_keys_total"
    eventually(lambda: running.sample(name, stream="datacenter") == 2)
    running.finish()


def test_a_topic_that_does_not_exist_is_named_while_others_are_read(
    world: World,
) -> None:
    running = world.start()
    eventually(lambda: running.health.ready)
    world.broker.delete_topic(TOPIC)
    eventually(lambda: f"topic '{TOPIC}' does not exist" in _reasons(running))
    world.broker.create_topic(TOPIC, partitions=3)
    fill(world, 3)
    eventually(lambda: running.health.ready and world.stored() == 3, timeout=20)
    running.finish()


def test_a_fenced_write_is_dropped_and_read_again(world: World) -> None:
    store = MemoryStore(world.database)
    running = world.start(store)
    eventually(lambda: running.health.ready)
    with world.database.lock:
        for position in world.database.offsets.values():
            position[1] += 10
    fill(world, 30)
    eventually(lambda: len(world.database.rows) == 30)
    assert running.sample("rtmlops_fenced_total", topic=TOPIC, partition="0") >= 1
    assert running.finish() == 0


def test_revoked_partitions_are_dropped_and_never_written(world: World) -> None:
    store = MemoryStore(world.database)
    store.gate.clear()
    first = world.start(store)
    fill(world, 10)
    time.sleep(0.2)
    world.broker.rebalance("storage", lost=True)
    store.gate.set()
    eventually(lambda: len(world.database.rows) == 10)
    assert world.stored() == 10
    assert first.finish() == 0


def test_a_recreated_topic_is_read_from_its_beginning(world: World) -> None:
    fill(world, 40)
    running = world.start()
    eventually(lambda: world.stored() == 40)
    world.broker.recreate_topic(TOPIC)
    fill(world, 60, first=1_000)
    eventually(lambda: len(world.database.rows) == 100, timeout=20)
    assert running.finish() == 0


def test_offsets_that_the_log_dropped_are_counted(world: World) -> None:
    fill(world, 10)
    first = world.start()
    eventually(lambda: world.stored() == 10)
    assert first.finish() == 0
    fill(world, 10, first=10)
    world.broker.delete_records({TopicPartition(TOPIC, 0): 15})
    second = world.start()
    eventually(lambda: world.stored() == 20)
    lost = second.sample("rtmlops_events_lost_total", topic=TOPIC, partition="0")
    assert lost == 5 == world.database.lost
    second.finish()


def test_an_offset_above_the_end_is_a_fault_with_a_remedy(world: World) -> None:
    fill(world, 10)
    first = world.start()
    eventually(lambda: world.stored() == 10)
    first.finish()
    with world.database.lock:
        for (_, _, tp), position in world.database.offsets.items():
            if tp.partition == 0:
                position[0] = 99
    second = world.start()
    eventually(lambda: "above the log's end" in " ".join(second.health.reasons))
    assert "offsets reset" in " ".join(second.health.reasons)
    assert second.health.alive and second.thread.is_alive()
    second.finish()


@pytest.mark.parametrize("why", ["above the end", "store refuses", "slow store"])
def test_waiting_keeps_the_loop_no_busier_than_reading(
    world: World, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmlops_lib.services.loop.LAST_WRITE_SECONDS", 0.2)
    store = MemoryStore(world.database)
    running = world.start(store)
    eventually(lambda: running.health.ready)
    if why == "above the end":
        with world.database.lock:
            for position in world.database.offsets.values():
                position[:] = [99, position[1] + 1]
    elif why == "store refuses":
        store.misconfigured = True
    else:
        store.gate.clear()
    fill(world, 5)
    if why != "slow store":
        eventually(lambda: not running.health.ready)
    polls = count_polls(running)
    time.sleep(1)
    assert len(polls) <= 30, "about ten a second"
    store.gate.set()
    running.finish()


def test_a_write_that_was_dropped_while_it_rested_leaves_the_loop_at_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmlops_lib.services.loop.LAST_WRITE_SECONDS", 0.2)
    store = MemoryStore(world.database)
    running = world.start(store)
    eventually(lambda: running.health.ready)
    store.misconfigured = True
    fill(world, 5)
    eventually(lambda: "no such table" in _reasons(running))
    world.broker.rebalance("storage")
    polls = count_polls(running)
    time.sleep(1)
    assert len(polls) <= 30
    running.finish()


@pytest.mark.parametrize("count", [0, 5])
def test_the_store_is_closed_in_the_end_by_whoever_used_it(
    world: World, count: int
) -> None:
    store = MemoryStore(world.database)
    running = world.start(store)
    fill(world, count)
    eventually(lambda: running.health.ready and len(world.database.rows) == count)
    assert store.closed_by is None
    assert running.finish() == 0
    assert store.closed_by == "writer"


def test_the_store_is_closed_also_where_it_was_never_used(world: World) -> None:
    world.broker.go_away()
    store = MemoryStore(world.database)
    assert world.start(store).finish() == 0
    assert store.closed_by is not None


def test_markers_move_offsets_without_rows(world: World) -> None:
    running = world.start()
    eventually(lambda: running.health.ready)
    world.broker.skip_offsets(TopicPartition(TOPIC, 1), 7)
    eventually(lambda: world.stored() == 7)
    running.finish()


def test_a_group_may_start_at_the_latest(world: World) -> None:
    fill(world, 10)
    running = world.start(start="latest")
    eventually(lambda: running.health.ready)
    fill(world, 3, first=10)
    eventually(lambda: len(world.database.rows) == 3)
    running.finish()


def test_a_partition_added_later_is_read_whole_also_by_a_group_from_the_latest(
    world: World,
) -> None:
    fill(world, 10)
    running = world.start(start="latest")
    eventually(lambda: running.health.ready)
    with world.broker.lock:
        world.broker.add_partitions(TOPIC, 1)
        fill(world, 5, partition=3, first=10)
    eventually(lambda: len(world.database.rows) == 5)
    running.finish()


def test_a_broker_that_goes_away_is_waited_for(world: World) -> None:
    running = world.start()
    eventually(lambda: running.health.ready)
    world.broker.go_away()
    eventually(lambda: not running.health.ready)
    world.broker.come_back()
    fill(world, 5)
    eventually(lambda: len(world.database.rows) == 5)
    eventually(lambda: running.health.ready)
    running.finish()


def test_an_outage_of_the_broker_is_one_outage_and_no_flicker(world: World) -> None:
    running = world.start()
    eventually(lambda: running.health.ready)
    world.broker.go_away()
    eventually(lambda: not running.health.ready)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert not running.health.ready
        time.sleep(0.001)


def test_a_stop_before_anything_was_read_waits_for_no_store(world: World) -> None:
    store = MemoryStore(world.database)
    store.misconfigured = True
    running = world.start(store)
    eventually(lambda: "no such table" in " ".join(running.health.reasons))
    started = time.monotonic()
    assert running.finish() == 0
    assert time.monotonic() - started < 3


def test_a_slow_store_pauses_and_loses_nothing(world: World) -> None:
    store = MemoryStore(world.database)
    running = world.start(store, batch_max_rows=10)
    eventually(lambda: running.health.ready)
    store.gate.clear()
    fill(world, 200)
    time.sleep(1.2)
    assert running.thread.is_alive()
    store.gate.set()
    eventually(lambda: len(world.database.rows) == 200)
    assert running.finish() == 0


def test_stop_writes_what_is_in_hand(world: World) -> None:
    running = world.start(batch_max_seconds=30)
    eventually(lambda: running.health.ready)
    fill(world, 25)
    eventually(lambda: running.loop._pipeline.intake.count == 25)
    assert running.finish() == 0
    assert len(world.database.rows) == 25
    assert sum(world.broker.committed.values()) == 25


def test_a_stop_while_the_store_is_away_is_no_success(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmlops_lib.services.loop.LAST_WRITE_SECONDS", 0.5)
    store = MemoryStore(world.database)
    running = world.start(store)
    eventually(lambda: running.health.ready)
    store.misconfigured = True
    fill(world, 5)
    eventually(lambda: not running.health.ready)
    assert running.finish() == 3
    assert world.database.rows == {}


def test_the_time_for_a_stop_begins_when_it_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmlops_lib.services.loop.LAST_WRITE_SECONDS", 1.5)
    store = MemoryStore(world.database)
    running = world.start(store)
    eventually(lambda: running.health.ready)
    asked = threading.Event()

    def slow(*_: object) -> dict:
        asked.set()
        time.sleep(1.2)
        raise TransportUnavailable("no answer")

    store.gate.clear()
    fill(world, 5)
    running.loop._consumer.topic_ids = running.loop._consumer.end_offsets = slow
    assert asked.wait(5)
    began = time.monotonic()
    assert running.finish() == 3
    assert time.monotonic() - began < 2.2
    store.gate.set()


def test_a_stop_before_anything_was_claimed_is_quick_and_a_success(
    world: World,
) -> None:
    store = MemoryStore(world.database)
    store.misconfigured = True
    running = world.start(store)
    eventually(lambda: "db migrate" in " ".join(running.health.reasons))
    assert running.finish(timeout=2) == 0


def test_a_fenced_member_ends(world: World) -> None:
    running = world.start()
    eventually(lambda: running.health.ready)
    loop: ConsumeLoop = running.loop
    loop._consumer.fenced = True
    fill(world, 1)
    running.thread.join(15)
    assert isinstance(running.error, MemberFenced)
