"""Where a group starts: as told at its first meeting with a topic, never later."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg2
import pytest

from rtmlops_lib.store import Claim, Takeover, TopicRef
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import TopicPartition
from tests.live.store.events import GROUP, World
from tests.support.waiting import wait_until

pytestmark = pytest.mark.live

PARTS = [TopicPartition("x", number) for number in range(5)]


def takeovers(
    initial: int, *ours: int, known: int = 4, topic_id: str = "a", log_start: int = 10
) -> dict[TopicPartition, Takeover]:
    """What a member knows of the first ``known`` partitions, some of them its own."""
    ref = TopicRef("cluster", topic_id, "x")
    return {
        tp: Takeover(ref, initial, log_start, ours=tp.partition in ours)
        for tp in PARTS[:known]
    }


def starts(claims: dict[TopicPartition, Claim]) -> dict[int, int]:
    return {tp.partition: claim.next_offset for tp, claim in claims.items()}


def test_the_first_claim_settles_the_start_of_every_partition(world: World) -> None:
    assert starts(world.store.claim(GROUP, takeovers(50, 0, 1))) == {0: 50, 1: 50}
    assert starts(world.store.claim(GROUP, takeovers(70, 2, 3))) == {2: 50, 3: 50}
    # Nobody was fenced by being noted, and another group is another matter.
    rows = world.sql("SELECT partition, epoch FROM {s}.stream_offsets ORDER BY 1")
    assert rows == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert starts(world.store.claim("other", takeovers(70, 1))) == {1: 70}


def test_a_partition_or_topic_that_came_later_starts_at_its_beginning(
    world: World,
) -> None:
    world.store.claim(GROUP, takeovers(50, 0, 1, 2, 3))
    later = world.store.claim(GROUP, takeovers(90, 0, 4, known=5, log_start=3))
    assert starts(later) == {0: 50, 4: 3}
    anew = world.store.claim(GROUP, takeovers(90, 0, topic_id="b", log_start=0))
    assert starts(anew) == {0: 0}
    assert world.sql("SELECT count(*) FROM {s}.alerts") == [(0,)]


def test_the_initial_position_is_never_before_the_start_of_the_log(
    world: World,
) -> None:
    claims = world.store.claim(GROUP, takeovers(0, 0))
    assert claims == {PARTS[0]: Claim(10, 1, 0)}


@pytest.mark.parametrize("group", ["g1", "g2", "g3"])
def test_two_members_that_start_at_once_start_at_one_place(
    world: World, group: str
) -> None:
    found: dict[int, int] = {}
    together = threading.Barrier(2)

    def member(initial: int, *ours: int) -> None:
        with closing(PostgresStore(world.url, schema=world.schema)) as store:
            store.claim(group, {})  # connects
            together.wait(10)
            found.update(starts(store.claim(group, takeovers(initial, *ours))))

    threads = [
        threading.Thread(target=member, args=(50, 0, 1)),
        threading.Thread(target=member, args=(60, 2, 3)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found.keys() == {0, 1, 2, 3}
    assert len(set(found.values())) == 1, found


def test_the_second_waits_for_a_first_that_has_not_committed(world: World) -> None:
    columns = "cluster_id, topic_id, consumer_group, topic, partition, next_offset"
    found: dict[int, int] = {}

    def second() -> None:
        with closing(PostgresStore(world.url, schema=world.schema)) as store:
            found.update(starts(store.claim(GROUP, takeovers(60, 2, 3))))

    with closing(psycopg2.connect(world.url)) as first, first.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {world.schema}.stream_offsets ({columns}, epoch) "
            f"SELECT 'cluster', 'a', '{GROUP}', 'x', n, 50, 0 "
            "FROM generate_series(0, 3) AS n"
        )
        thread = threading.Thread(target=second)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: world.sql(waiting)[0][0], timeout=10, what="it waits")
        first.commit()
        thread.join(10)
    assert found == {2: 50, 3: 50}
