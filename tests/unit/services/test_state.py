"""State in step with the offsets: what a row says never depends on who died."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmlops_lib.services import housekeeping, state_keeper
from rtmlops_lib.streams import TopicPartition
from tests.support.foreign import event
from tests.support.memory_store import MemoryStore
from tests.unit.services.conftest import SPEC, World, eventually
from tests.unit.services.folding import Folding, fold

TOPIC = SPEC.topic
FAULTS = (
    "rebalance",
    "lost",
    "kill",
    "second member",
    "markers",
    "stop",
    "rewind",
    "damage",
    "memory",
    "nothing",
)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_keeper, "SNAPSHOT_SECONDS", 0.05)


def send(world: World, partition: int, count: int, first: int) -> None:
    for serial in range(first, first + count):
        value = json.dumps(event(partition, serial)).encode()
        world.send(b"k", value, partition)


def expected(world: World) -> dict[tuple[int, int], float]:
    """Return the score of each place, by folding the logs from their beginnings."""
    scores = {}
    for number, log in enumerate(world.broker.topics[TOPIC].logs):
        values = [json.loads(r.value)["cpu_usage"] for r in log.records]
        states = fold(0, np.array(values))
        for record, state in zip(log.records, states, strict=True):
            scores[number, record.offset] = float(state)
    return scores


def stored(world: World) -> dict[tuple[int, int], float]:
    with world.database.lock:
        rows = list(world.database.rows.values())
    return {
        (int(b.partition[i]), int(b.offset[i])): float(b.columns["score"][i])
        for b, i in rows
    }


def assert_law(world: World) -> None:
    scores = expected(world)
    assert stored(world) == scores
    told = {e.peak_score for e in world.database.anomaly_events.values()}
    assert told == {score for score in scores.values() if score % 10 == 0}


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 10_000),
    faults=st.lists(st.sampled_from(FAULTS), max_size=7),
)
def test_every_row_is_that_of_an_undisturbed_run(seed: int, faults: list[str]) -> None:
    rng = random.Random(seed)
    world = World()
    try:
        stores = [MemoryStore(world.database, seed=seed)]
        world.start(stores[0], handler=Folding(), batch_max_rows=7)
        sent = 0
        for fault in [*faults, "none"]:
            for _ in range(rng.randrange(8)):
                send(world, rng.randrange(3), rng.randrange(6), sent)
                sent += 6
            if fault in ("rebalance", "lost"):
                world.broker.rebalance("storage", lost=fault == "lost")
            elif fault == "second member" and len(stores) < 3:
                stores.append(MemoryStore(world.database, seed=seed + len(stores)))
                world.start(stores[-1], handler=Folding(), batch_max_rows=5)
            elif fault == "markers":
                place = TopicPartition(TOPIC, rng.randrange(3))
                world.broker.skip_offsets(place, rng.randrange(1, 4))
            elif fault == "rewind":
                place = TopicPartition(TOPIC, rng.randrange(3))
                for running in world.running:
                    if running.loop._consumer is not None:
                        running.loop._consumer.rewind(place, 0)
            elif fault == "damage":
                with world.database.lock:
                    for key, (one, at) in world.database.states.items():
                        world.database.states[key] = (replace(one, data=b"?"), at)
            elif fault == "memory":
                # Too little for more than a few rows: writes are cut in halves, down
                # to one record of each of the three partitions.
                for store in stores:
                    store.largest = None if store.largest else rng.randrange(3, 6)
            elif fault in ("stop", "kill"):
                for store in stores:
                    store.failing = False
                if fault == "kill":
                    # What it wrote last is lost with it, its state included.
                    world.running[-1].loop._pipeline._states.due = lambda *_, **__: {}
                world.running[-1].finish()
                stores.append(MemoryStore(world.database, seed=seed + 99))
                world.start(stores[-1], handler=Folding(), batch_max_rows=9)
        for store in stores:
            store.failing = False
        eventually(lambda: world.stored() == world.ends(), timeout=30)
        assert_law(world)
    finally:
        world.close()


def test_of_a_write_cut_in_halves_the_last_part_alone_has_the_snapshot(
    world: World,
) -> None:
    class Halving(MemoryStore):
        parts: list[tuple[int, list[int], int]] = []

        def write(self, group, batches, positions, **more):  # type: ignore[no-untyped-def]
            written = super().write(group, batches, positions, **more)
            offsets = [one.next_offset for one in more["snapshots"]]
            told = len(more["anomaly_events"])
            if written.fenced:
                return written
            self.parts.append((sum(map(len, batches)), offsets, told))
            if len(self.parts) == 1:
                # The rest of this batch dies with the member.
                self.database.offsets[key][1] += 1
            return written

    send(world, 0, 40, 0)
    topic_id = world.broker.topics[TOPIC].id
    key = ("storage", topic_id, TopicPartition(TOPIC, 0))
    store = Halving(world.database)
    store.largest = 20
    world.start(store, handler=Folding(), batch_max_seconds=0.3)
    eventually(lambda: world.stored() == 40)
    (rows, offsets, told), *rest = store.parts
    assert (rows, offsets) == (20, [])
    # Told ahead: what is stored would never be told of otherwise.
    scores = [expected(world)[0, n] for n in range(40)]
    assert told == sum(score % 10 == 0 for score in scores)
    assert [offset for _, offsets, _ in rest for offset in offsets] == [40]
    assert_law(world)


def test_goes_on_from_the_snapshot_of_its_last_stop(world: World) -> None:
    send(world, 0, 40, 0)
    first = world.start(handler=Folding())
    eventually(lambda: world.stored() == 40)
    assert first.finish() == 0
    ((key, (snapshot, _)),) = world.database.states.items()
    assert key[2] == TopicPartition(TOPIC, 0) and snapshot.next_offset == 40
    send(world, 0, 10, 40)
    handler = Folding()
    world.start(handler=handler)
    eventually(lambda: world.stored() == 50)
    assert (handler.restored, handler.learned) == (1, 0)
    assert_law(world)


def test_without_a_snapshot_it_learns_from_history_and_writes_nothing_anew(
    world: World,
) -> None:
    send(world, 0, 40, 0)
    world.start(handler=Folding())
    eventually(lambda: world.stored() == 40)
    world.running[0].finish()
    world.database.states.clear()
    send(world, 0, 10, 40)
    handler = Folding()
    second = world.start(handler=handler)
    eventually(lambda: world.stored() == 50)
    assert (handler.restored, handler.learned) == (0, 40)
    name = "rtmlops_rows_total"
    eventually(lambda: second.sample(name, stream="datacenter_anomalies") == 10)
    assert second.sample("rtmlops_duplicates_total") == 0
    assert_law(world)


def test_history_is_no_longer_than_the_handler_wants(world: World) -> None:
    send(world, 0, 40, 0)
    world.start(handler=Folding())
    eventually(lambda: world.stored() == 40)
    world.running[0].finish()
    world.database.states.clear()
    handler = Folding()
    handler.history_records = 15
    running = world.start(handler=handler)
    eventually(lambda: handler.learned == 15)
    eventually(lambda: running.health.ready)
    assert handler.learned == 15


def test_a_damaged_snapshot_is_refused_by_name_and_learned_again(world: World) -> None:
    send(world, 0, 40, 0)
    world.start(handler=Folding())
    eventually(lambda: world.stored() == 40)
    world.running[0].finish()
    ((key, (snapshot, at)),) = world.database.states.items()
    world.database.states[key] = (replace(snapshot, data=b"?"), at)
    send(world, 0, 10, 40)
    handler = Folding()
    second = world.start(handler=handler)
    eventually(lambda: world.stored() == 50)
    assert handler.learned == 40
    where = {"topic": TOPIC, "partition": "0"}
    assert second.sample("rtmlops_snapshots_refused_total", **where) == 1
    assert_law(world)
    eventually(lambda: world.database.states[key][0].next_offset == 50)
    assert world.database.states[key][0].data != b"?"


def test_a_snapshot_from_beyond_the_stored_offset_is_not_used(world: World) -> None:
    send(world, 0, 40, 0)
    world.start(handler=Folding())
    eventually(lambda: world.stored() == 40)
    world.running[0].finish()
    with world.database.lock:
        for key, known in world.database.offsets.items():
            if key[2].partition == 0:
                known[0] = 25
    handler = Folding()
    world.start(handler=handler)
    eventually(lambda: world.stored() == 40)
    assert (handler.restored, handler.learned) == (0, 25)
    assert_law(world)


def test_a_topic_made_anew_is_a_new_beginning(world: World) -> None:
    send(world, 0, 40, 0)
    handler = Folding()
    world.start(handler=handler)
    eventually(lambda: world.stored() == 40)
    eventually(lambda: len(world.database.states) == 1)
    world.broker.recreate_topic(TOPIC)
    world.database.rows.clear()
    world.database.anomaly_events.clear()
    send(world, 0, 30, 0)
    eventually(lambda: world.stored() == 30, timeout=20)
    assert handler.restored == 0
    assert_law(world)


def test_nothing_of_a_topic_made_anew_is_judged_by_the_state_of_the_old_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "TOPIC_CHECK_SECONDS", 1_000.0)
    send(world, 0, 40, 0)
    world.start(handler=Folding())
    eventually(lambda: world.stored() == 40)
    world.broker.recreate_topic(TOPIC)
    world.database.rows.clear()
    world.database.anomaly_events.clear()
    # More than before: the old offset lies inside the new log.
    send(world, 0, 90, 0)
    eventually(lambda: world.stored() == 90, timeout=20)
    assert_law(world)


def test_is_neither_ready_nor_idle_while_it_learns_again(world: World) -> None:
    send(world, 0, 40, 0)
    world.start(handler=Folding())
    eventually(lambda: world.stored() == 40)
    world.running[0].finish()
    world.database.states.clear()

    class Slow(Folding):
        seen: list[tuple[bool, list[str]]] = []

        def learn(self, chunk: object) -> None:
            # The loop may be here before `start` has returned to the test below.
            health = world.running[-1].health
            self.seen.append((health.ready, health.reasons))
            super().learn(chunk)  # type: ignore[arg-type]

    running = world.start(handler=Slow(), until_idle=0.1, batch_max_rows=5)
    running.thread.join(20)
    assert running.code == 0
    assert len(Slow.seen) == 8
    assert not any(ready for ready, _ in Slow.seen)
    assert "learned again" in str(Slow.seen[-1])


def test_a_state_is_not_stored_more_often_than_it_may(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_keeper, "SNAPSHOT_SECONDS", 30.0)
    running = world.start(handler=Folding())
    eventually(lambda: running.health.ready)
    offsets = set()
    for n in range(8):
        send(world, 0, 5, 5 * n)
        eventually(lambda n=n: world.stored() == 5 * n + 5)
        ((one, _),) = world.database.states.values()
        offsets.add(one.next_offset)
    assert len(offsets) == 1
    assert running.finish() == 0
    ((one, _),) = world.database.states.values()
    assert one.next_offset == 40


def test_a_restart_does_not_store_a_state_anew_that_is_young(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(world, 0, 20, 0)
    world.start(handler=Folding())
    eventually(lambda: world.stored() == 20)
    world.running[0].finish()
    monkeypatch.setattr(state_keeper, "SNAPSHOT_SECONDS", 30.0)
    running = world.start(handler=Folding())
    eventually(lambda: running.health.ready)
    send(world, 0, 5, 20)
    eventually(lambda: world.stored() == 25)
    ((one, _),) = world.database.states.values()
    assert one.next_offset == 20
