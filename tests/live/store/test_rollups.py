"""Roll-ups and retention: the same answers whatever the database can do."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rtmlops_lib.store.postgres import rollup
from rtmlops_lib.store.postgres.maintenance import cutoff
from rtmlops_lib.store.postgres.store import PostgresStore
from rtmlops_lib.streams import ColumnBatch
from tests.live.store.events import GROUP, START_US, World, events, moved

pytestmark = pytest.mark.live

FIELDS = ("cpu_usage", "memory_usage")


class Feed:
    """Writes batches one after the other and remembers what must be stored."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.position = world.claim(0)[0]
        self.rows: dict[tuple, dict] = {}

    def send(self, batch: ColumnBatch) -> None:
        self.position = moved(self.position, self.position.next_offset + len(batch))
        assert not self.world.store.write(GROUP, [batch], [self.position]).fenced
        for index, identity in enumerate(batch.identities()):
            row = {f: batch.columns[f][index] for f in FIELDS}
            self.rows.setdefault(identity, row)

    def expected(self, minutes: int) -> dict[tuple, tuple]:
        """The roll-up by plain arithmetic."""
        groups: dict[tuple, list[dict]] = defaultdict(list)
        for (server, time), row in self.rows.items():
            bucket = time // (60_000_000 * minutes) * 60 * minutes
            groups[(bucket, server)].append(row)
        return {
            key: (len(rows), *(x for f in FIELDS for x in summary(rows, f)))
            for key, rows in groups.items()
        }


def summary(rows: list[dict], field: str) -> tuple:
    values = [row[field] for row in rows if not np.isnan(row[field])]
    if not values:
        return (0, None, None, None, None)
    total = sum(values)
    return (len(values), total, min(values), max(values), total / len(values))


def shown(world: World, suffix: str) -> dict[tuple, tuple]:
    columns = ", ".join(
        f"{f}_{s}" for f in FIELDS for s in ("n", "sum", "min", "max", "avg")
    )
    found = world.sql(
        f"SELECT extract(epoch FROM bucket)::bigint, server_id, n, {columns} "
        f"FROM {{s}}.metrics_{suffix}"
    )
    assert len({row[:2] for row in found}) == len(found)
    return {row[:2]: row[2:] for row in found}


def assert_same(feed: Feed, minutes: int, suffix: str) -> None:
    wanted, found = feed.expected(minutes), shown(feed.world, suffix)
    assert found.keys() == wanted.keys()
    for key, row in wanted.items():
        assert found[key] == pytest.approx(row), key


def assert_exact(feed: Feed) -> None:
    assert_same(feed, 1, "1m")
    assert_same(feed, 60, "1h")


def spread(steps: range, servers: int = 3) -> ColumnBatch:
    every = np.repeat(np.arange(steps.start, steps.stop, steps.step), servers)
    return events(every, servers=np.arange(len(every)) % servers)


def test_before_any_maintenance_the_views_show_every_event(world: World) -> None:
    feed = Feed(world)
    feed.send(spread(range(0, 800)))
    assert_exact(feed)


def test_after_maintenance_late_gappy_and_repeated_events_are_in(
    world: World,
) -> None:
    feed = Feed(world)
    feed.send(spread(range(0, 800)))
    world.store.maintain([world.spec])
    assert_exact(feed)
    feed.send(spread(range(100, 200)))  # repeats
    feed.send(events(range(0, 800, 7), servers=9))  # late, of a new server
    feed.send(spread(range(5_000, 5_100)))  # after a gap
    feed.send(events([-50_000], servers=1))  # days late
    world.store.maintain([world.spec])
    assert_exact(feed)
    world.store.maintain([world.spec])
    assert_exact(feed)


def test_events_of_this_minute_are_seen_at_once(world: World) -> None:
    feed = Feed(world)
    world.store.maintain([world.spec])
    now = int((datetime.now(UTC).timestamp() * 1e6 - START_US) // 10_000_000)
    feed.send(spread(range(now - 500, now + 30)))
    found = shown(world, "1m")
    last = max(bucket for bucket, _ in feed.expected(1))
    assert {k: v[0] for k, v in found.items() if k[0] >= last - 60} == {
        k: v[0] for k, v in feed.expected(1).items() if k[0] >= last - 60
    }
    world.store.maintain([world.spec])
    assert_exact(feed)


def test_a_write_that_commits_after_the_roll_up_is_not_missed(world: World) -> None:
    feed = Feed(world)
    feed.send(spread(range(0, 60)))

    def maintain_meanwhile(refused: object) -> None:
        other = PostgresStore(world.url, schema=world.schema)
        other.maintain([world.spec])
        other.close()

    position = moved(feed.position, feed.position.next_offset + 60)
    late = events(range(60), servers=7)
    world.store.write(GROUP, [late], [position], before_commit=maintain_meanwhile)
    for identity, cpu, memory in zip(
        late.identities(),
        late.columns["cpu_usage"],
        late.columns["memory_usage"],
        strict=True,
    ):
        feed.rows[identity] = {"cpu_usage": cpu, "memory_usage": memory}
    world.store.maintain([world.spec])
    assert_exact(feed)


def test_maintenance_beside_writers_ends_exact(plain_world: World) -> None:
    feed = Feed(plain_world)
    done = threading.Event()

    def maintain() -> None:
        store = PostgresStore(plain_world.url, schema=plain_world.schema)
        while not done.is_set():
            store.maintain([plain_world.spec])
        store.close()

    thread = threading.Thread(target=maintain)
    thread.start()
    rng = np.random.default_rng(5)
    for _ in range(40):
        steps = rng.choice(2_000, 60, replace=False)
        feed.send(events(steps, servers=rng.integers(0, 3, 60)))
    done.set()
    thread.join()
    plain_world.store.maintain([plain_world.spec])
    assert_exact(feed)


def test_nobody_else_rolls_up_or_drops(
    timescale_url: str, make_world: Callable[[str], World]
) -> None:
    # Two refreshes at a time leave buckets twice; see store/postgres/timescale.py.
    world = make_world(timescale_url)
    world.store.migrate([world.spec.evolve(retention_days=5)])
    jobs = world.sql(
        "SELECT DISTINCT proc_name FROM timescaledb_information.jobs "
        "WHERE hypertable_schema = %s",
        world.schema,
    )
    assert jobs == [("policy_compression",)]


def test_one_maintenance_runs_at_a_time(world: World) -> None:
    lock = "pg_advisory_lock(hashtext('rtmlops maintain'), hashtext(%s))"
    with world.store._loop.within(20) as session:
        session.execute(f"SELECT {lock}", (world.schema,))
        assert world.store.maintain([world.spec]) == {"skipped": 1}
        session.execute("SELECT pg_advisory_unlock_all()")
    assert "skipped" not in world.store.maintain([world.spec])


def test_retention_drops_whole_days_and_keeps_their_roll_ups(world: World) -> None:
    spec = world.spec.evolve(retention_days=5)
    world.store.migrate([spec])
    feed = Feed(world)
    oldest = cutoff(spec, datetime.now(UTC))
    assert oldest is not None
    edge = int(oldest.timestamp() * 1e6 - START_US) // 10_000_000
    feed.send(spread(range(edge - 300, edge + 300)))
    world.store.maintain([world.spec])  # without retention: rolls up all
    before = shown(world, "1m")
    world.store.maintain([spec])
    first = world.sql("SELECT min(time) FROM {s}.metrics")[0][0]
    assert oldest <= first < oldest + timedelta(seconds=20)
    assert shown(world, "1m") == before
    # What arrives for a dropped day is dropped with it, and changes no roll-up.
    feed.send(events([edge - 200], servers=5))
    world.store.maintain([spec])
    assert world.sql("SELECT min(time) FROM {s}.metrics")[0][0] == first
    feed.send(events([edge + 200], servers=6))
    world.store.maintain([spec])
    changed = shown(world, "1m").keys() - before.keys()
    assert {server for _, server in changed} == {"srv-006"}


def test_after_a_break_longer_than_the_retention_all_is_rolled_up_before_it_goes(
    world: World,
) -> None:
    spec = world.spec.evolve(retention_days=2)
    world.store.migrate([spec])
    feed = Feed(world)
    oldest = cutoff(spec, datetime.now(UTC))
    assert oldest is not None
    edge = int(oldest.timestamp() * 1e6 - START_US) // 10_000_000
    feed.send(spread(range(edge - 30_000, edge - 29_400)))
    feed.send(spread(range(edge - 300, edge + 300)))
    world.store.maintain([spec])
    assert world.sql("SELECT min(time) FROM {s}.metrics")[0][0] >= oldest
    assert_exact(feed)


def test_plain_retention_deletes_in_batches(
    plain_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmlops_lib.store.postgres.maintenance.DELETE_ROWS", 100)
    spec = plain_world.spec.evolve(retention_days=1)
    Feed(plain_world).send(spread(range(0, 150)))
    assert plain_world.store.maintain([spec])["rows_dropped"] == 450
    assert plain_world.count() == 0


def test_closed_minutes_leave_one_open() -> None:
    now = datetime(2025, 9, 30, 12, 34, 5, tzinfo=UTC)
    assert rollup.closed_before(now) == datetime(2025, 9, 30, 12, 33, tzinfo=UTC)
