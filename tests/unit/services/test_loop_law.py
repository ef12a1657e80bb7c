"""The law under every mixture of faults that the fakes can make."""

from __future__ import annotations

import json
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmlops_lib.streams import TopicPartition
from tests.support.foreign import MALFORMED, event
from tests.support.memory_store import MemoryStore
from tests.unit.services.conftest import SPEC, World, eventually

FAULTS = ("rebalance", "lost", "letters", "second member", "markers", "stop", "rewind")


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 10_000),
    faults=st.lists(st.sampled_from(FAULTS), max_size=6),
)
def test_stored_and_letters_are_what_was_sent(seed: int, faults: list[str]) -> None:
    rng = random.Random(seed)
    world = World()
    ways = [build for _, build in MALFORMED.values()]
    distinct: set[tuple[str, str]] = set()
    broken = 0
    try:
        first = MemoryStore(world.database, seed=seed)
        world.start(first, batch_max_rows=7)
        stores = [first]
        for fault in [*faults, "none"]:
            for _ in range(rng.randrange(25)):
                sample = event(rng.randrange(4), rng.randrange(40))
                if rng.random() < 0.1:
                    world.send(b"k", rng.choice(ways)(sample), rng.randrange(3))
                    broken += 1
                else:
                    # One server, one partition, as keys would have it.
                    server = str(sample["server_id"])
                    partition = int(server[-1]) % 3
                    world.send(b"k", json.dumps(sample).encode(), partition)
                    distinct.add((server, str(sample["time"])))
            if fault == "rebalance":
                world.broker.rebalance("storage")
            elif fault == "lost":
                world.broker.rebalance("storage", lost=True)
            elif fault == "letters":
                world.letters.failures = 1
            elif fault == "second member" and len(stores) < 3:
                stores.append(MemoryStore(world.database, seed=seed + len(stores)))
                world.start(stores[-1], batch_max_rows=5)
            elif fault == "markers":
                place = TopicPartition(SPEC.topic, rng.randrange(3))
                world.broker.skip_offsets(place, rng.randrange(1, 4))
            elif fault == "rewind":
                place = TopicPartition(SPEC.topic, rng.randrange(3))
                for running in world.running:
                    if running.loop._consumer is not None:
                        running.loop._consumer.rewind(place, 0)
            elif fault == "stop":
                for store in stores:
                    store.failing = False
                world.running[0].finish()
                stores.append(MemoryStore(world.database))
                world.start(stores[-1], batch_max_rows=9)
        for store in stores:
            store.failing = False
        eventually(lambda: world.stored() == world.ends(), timeout=30)
        assert {(row[1], row[2]) for row in world.database.rows} == _as_stored(distinct)
        assert len(world.letters.kept) == broken
    finally:
        world.close()


def _as_stored(distinct: set[tuple[str, str]]) -> set[tuple[str, int]]:
    from datetime import datetime

    return {
        (server, round(datetime.fromisoformat(time).timestamp() * 1_000_000))
        for server, time in distinct
    }
