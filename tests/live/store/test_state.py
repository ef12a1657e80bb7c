"""Snapshots and episodes, in the transaction of the offsets they belong to."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace

import numpy as np
import psycopg2
import pytest

from rtmlops_lib.store import (
    AnomalyEvent,
    Claim,
    Position,
    Snapshot,
    StoreUnavailable,
    Takeover,
    TopicRef,
)
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import ColumnBatch, TopicPartition, anomaly_spec
from tests.live.store.events import GROUP, SPEC, START_US, World, events, moved

pytestmark = pytest.mark.live

TP = TopicPartition(SPEC.topic, 0)
TOLD = AnomalyEvent(
    stream="datacenter",
    series={"server_id": "srv-001"},
    detector="default",
    started_at=START_US,
    ended_at=START_US + 1,
    peak_at=START_US + 1,
    confirmed_at=START_US,
    peak_score=0.1 + 0.2,
    severity="high",
    metric="cpu_usage",
    explanation="it's 95 %",
    state="open",
    flagged_rows=2,
)


def claim(world: World, *, topic_id: str = "topic-1", group: str = GROUP) -> Claim:
    ref = TopicRef("cluster", topic_id, SPEC.topic)
    return world.store.claim(group, {TP: Takeover(ref, 0, 0)}, with_state=True)[TP]


def told(world: World) -> list[tuple]:
    return world.sql(
        "SELECT series_key, extract(epoch FROM ended_at)::float8, peak_score, state, "
        "explanation, series FROM {s}.anomaly_events ORDER BY started_at, series_key"
    )


def test_a_claim_gives_the_last_snapshot_back_where_it_is_asked_for(
    world: World,
) -> None:
    assert claim(world).state is None
    position = moved(world.claim(0)[0], 100)
    data = os.urandom(200_000)
    world.store.write(GROUP, [], [position], snapshots=[Snapshot(TP, 90, data)])
    state = claim(world).state
    assert state is not None
    assert (state.topic_partition, state.next_offset, state.data) == (TP, 90, data)
    assert 0 <= state.age_seconds < 60
    ref = TopicRef("cluster", "topic-1", SPEC.topic)
    without = world.store.claim(GROUP, {TP: Takeover(ref, 0, 0)})
    assert without[TP].state is None
    assert claim(world, group="other").state is None


def test_a_newer_snapshot_replaces_the_former(world: World) -> None:
    position = moved(world.claim(0)[0], 100)
    world.store.write(GROUP, [], [position], snapshots=[Snapshot(TP, 90, b"one")])
    again = moved(position, 200)
    world.store.write(GROUP, [], [again], snapshots=[Snapshot(TP, 200, b"two")])
    state = claim(world).state
    assert state is not None and (state.next_offset, state.data) == (200, b"two")
    assert world.sql("SELECT count(*) FROM {s}.detector_state") == [(1,)]


def test_a_snapshot_is_stored_though_no_offset_moves_but_never_past_the_fence(
    world: World,
) -> None:
    here = world.claim(0)[0]
    stay = moved(here, here.next_offset)
    snapshot = Snapshot(TP, 0, b"mine")
    assert not world.store.write(GROUP, [], [stay], snapshots=[snapshot]).fenced
    claim(world)
    other = replace(snapshot, data=b"a zombie's")
    assert world.store.write(GROUP, [], [stay], snapshots=[other]).fenced == {TP}
    state = claim(world).state
    assert state is not None and state.data == b"mine"


def test_a_failed_write_leaves_neither_snapshot_nor_episode(world: World) -> None:
    position = moved(world.claim(0)[0], 10)

    def fail(_: object) -> None:
        raise StoreUnavailable("the letters did not go out")

    with pytest.raises(StoreUnavailable):
        world.store.write(
            GROUP,
            [events(range(10))],
            [position],
            snapshots=[Snapshot(TP, 10, b"x")],
            anomaly_events=[TOLD],
            before_commit=fail,
        )
    assert world.count() == 0 and told(world) == []
    assert claim(world).state is None


def test_a_topic_made_anew_has_no_state_and_clears_the_former_away(
    world: World,
) -> None:
    position = moved(world.claim(0)[0], 100)
    world.store.write(GROUP, [], [position], snapshots=[Snapshot(TP, 90, b"old")])
    assert claim(world, topic_id="topic-2").state is None
    assert world.sql("SELECT count(*) FROM {s}.detector_state") == [(0,)]


def test_resetting_offsets_forgets_the_state_of_that_group(world: World) -> None:
    position = moved(world.claim(0)[0], 100)
    world.store.write(GROUP, [], [position], snapshots=[Snapshot(TP, 90, b"old")])
    other = claim(world, group="other")
    theirs = Position(world.ref, 0, other.next_offset, 5, other.epoch)
    world.store.write("other", [], [theirs], snapshots=[Snapshot(TP, 5, b"kept")])
    world.store.reset_offsets(GROUP, {TP: (world.ref, 0)})
    assert claim(world).state is None
    state = claim(world, group="other").state
    assert state is not None and state.data == b"kept"


def test_an_episode_is_one_row_kept_up_to_date(world: World) -> None:
    position = moved(world.claim(0)[0], 10)
    world.store.write(GROUP, [], [position], anomaly_events=[TOLD])
    later = replace(
        TOLD, ended_at=START_US + 9, state="closed", peak_score=0.9, flagged_rows=4
    )
    second = replace(TOLD, started_at=START_US + 50, explanation="")
    both = {"service": "a/b", "server_id": "srv"}
    third = replace(TOLD, started_at=START_US + 50, series=both)
    position = moved(position, 20)
    # Told twice in one write, the last counts.
    world.store.write(
        GROUP, [], [position], anomaly_events=[TOLD, later, second, third]
    )
    rows = told(world)
    assert [row[0] for row in rows] == ["srv-001", r"a\/b/srv", "srv-001"]
    key, ended, score, state, _, series = rows[0]
    assert (score, state, series) == (0.9, "closed", {"server_id": "srv-001"})
    assert ended == (START_US + 9) / 1e6
    assert rows[2][2:5] == (0.1 + 0.2, "open", "")


def test_an_episode_whose_detector_forgot_it_is_closed_by_the_next(
    world: World,
) -> None:
    position = moved(world.claim(0)[0], 10)
    others = [
        replace(TOLD, series={"server_id": "srv-002"}),
        replace(TOLD, detector="another"),
        replace(TOLD, started_at=START_US + 99),
    ]
    world.store.write(GROUP, [], [position], anomaly_events=[TOLD, *others])
    later = replace(TOLD, started_at=START_US + 50)
    world.store.write(GROUP, [], [moved(position, 20)], anomaly_events=[later])
    rows = world.sql(
        "SELECT series_key, detector, state FROM {s}.anomaly_events "
        "ORDER BY started_at, series_key, detector"
    )
    assert rows == [
        ("srv-001", "another", "open"),
        ("srv-001", "default", "closed"),
        ("srv-002", "default", "open"),
        ("srv-001", "default", "open"),
        ("srv-001", "default", "open"),
    ]


def test_series_of_any_length_have_a_key(world: World) -> None:
    position = moved(world.claim(0)[0], 10)
    long = [
        replace(TOLD, series={n: f"{k}{c}" * 500 for n in "abcd"})
        for c, k in (("é", "x"), ("/", "y"), ("\\", "z"), ("/", "x"))
    ]
    world.store.write(GROUP, [], [position], anomaly_events=long)
    assert len({row[0] for row in told(world)}) == 4


def test_flagged_events_are_read_from_the_stream_s_own_table(world: World) -> None:
    source = events(range(4))
    table = anomaly_spec(SPEC)

    def same(value: str | None) -> np.ndarray:
        return np.full(4, value, object)

    rows = ColumnBatch(
        spec=table,
        time=source.time,
        columns={
            "server_id": source.columns["server_id"],
            "stream": same("datacenter"),
            "detector": same("default"),
            "model_version": same(None),
            "score": np.array([0.1, 0.7, 0.2, 0.9]),
            "severity": same("low"),
            "metric": same(None),
            "flagged": np.array([False, True, False, True]),
            "witnesses": same("statistical"),
        },
        partition=source.partition,
        offset=source.offset,
    )
    assert world.store.flagged(SPEC) is None
    position = moved(world.claim(0)[0], 4)
    written = world.store.write(GROUP, [rows], [position])
    assert written.rows == {"datacenter_anomalies": 4}
    found = world.store.flagged(SPEC)
    assert found is not None and len(found) == 2
    with closing(PostgresStore(world.url, schema=world.schema)) as store:
        again = store.write(GROUP, [rows], [moved(position, 8)])
    assert again.duplicates == {"datacenter_anomalies": 4}


def test_two_writers_of_episodes_do_not_deadlock(world: World) -> None:
    import threading

    many = [replace(TOLD, started_at=START_US + n) for n in range(200)]
    faults: list[BaseException] = []

    def write(group: str, order: int) -> None:
        try:
            with closing(PostgresStore(world.url, schema=world.schema)) as store:
                for _ in range(10):
                    store.write(group, [], [], anomaly_events=many[::order])
        except (psycopg2.Error, StoreUnavailable) as error:
            faults.append(error)

    threads = [
        threading.Thread(target=write, args=(f"g{n}", order))
        for n, order in enumerate((1, -1, 1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(told(world)) == 200
