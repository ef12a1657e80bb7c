"""A reset that has derived rows made again."""

from __future__ import annotations

import numpy as np
import pytest

from rtmlops_lib.store import AnomalyEvent, Position, TopicRef
from rtmlops_lib.store.postgres.recompute import Recompute
from rtmlops_lib.streams import ColumnBatch, TopicPartition, anomaly_spec
from tests.live.store.events import GROUP, SPEC, START_US, World, moved

pytestmark = pytest.mark.live

TABLE = anomaly_spec(SPEC)


def scores(detector: str, offsets: range, partition: int, series: str) -> ColumnBatch:
    count = len(offsets)
    same = {"stream": SPEC.name, "detector": detector, "severity": "low"}
    columns = {name: np.full(count, text, object) for name, text in same.items()}
    absent = dict.fromkeys(
        ("model_version", "metric", "witnesses"), np.full(count, None, object)
    )
    return ColumnBatch(
        spec=TABLE,
        time=START_US + np.array(offsets) * 1_000_000,
        columns={
            **columns,
            **absent,
            "server_id": np.full(count, series, object),
            "score": np.full(count, 0.1),
            "flagged": np.zeros(count, bool),
        },
        partition=np.full(count, partition, np.int32),
        offset=np.array(offsets, np.int64),
        attributes=None,
    )


def episode(detector: str, series: str, second: int) -> AnomalyEvent:
    at = START_US + second * 1_000_000
    return AnomalyEvent(
        stream=SPEC.name,
        series={"server_id": series},
        detector=detector,
        started_at=at,
        ended_at=at,
        peak_at=at,
        confirmed_at=at,
        peak_score=0.9,
        severity="high",
        metric="cpu_usage",
        explanation="high",
        state="closed",
        flagged_rows=1,
    )


def write(
    world: World, position: Position, detector: str, *told: AnomalyEvent
) -> Position:
    here = moved(position, position.next_offset + 100)
    rows = scores(
        detector,
        range(position.next_offset, here.next_offset),
        position.partition,
        f"srv-{position.partition}",
    )
    written = world.store.write(GROUP, [rows], [here], anomaly_events=list(told))
    assert not written.fenced
    return here


def test_rows_and_episodes_from_there_on_go_and_nothing_else(world: World) -> None:
    here = world.claim(0, 1)
    for number, position in here.items():
        series = f"srv-{number}"
        told = (episode("default", series, 10), episode("default", series, 70))
        write(world, position, "default", *told)
    tp = TopicPartition(world.ref.topic, 0)
    deleted = world.store.reset_offsets(
        GROUP, {tp: (world.ref, 60)}, Recompute(SPEC, "default")
    )
    assert deleted == 40
    assert world.sql(
        "SELECT kafka_partition, count(*), max(kafka_offset) FROM {s}.anomalies "
        "GROUP BY 1 ORDER BY 1",
    ) == [(0, 60, 59), (1, 100, 99)]
    assert world.sql(
        "SELECT series_key, count(*) FROM {s}.anomaly_events GROUP BY 1 ORDER BY 1",
    ) == [("srv-0", 1), ("srv-1", 2)]
    assert world.stored_offset(0) == 60


def test_another_detector_keeps_its_own(world: World) -> None:
    position = world.claim(0)[0]
    position = write(world, position, "default")
    write(world, position, "other", episode("other", "srv-0", 150))
    tp = TopicPartition(world.ref.topic, 0)
    world.store.reset_offsets(GROUP, {tp: (world.ref, 0)}, Recompute(SPEC, "default"))
    assert world.sql("SELECT DISTINCT detector FROM {s}.anomalies") == [("other",)]
    assert world.sql("SELECT count(*) FROM {s}.anomaly_events") == [(1,)]


def test_what_a_former_topic_left_behind_stays(world: World) -> None:
    write(world, world.claim(0)[0], "default", episode("default", "srv-0", 5))
    anew = TopicRef("cluster", "topic-2", world.ref.topic)
    world.ref = anew
    position = world.claim(0)[0]
    assert position.next_offset == 0
    tp = TopicPartition(anew.topic, 0)
    recompute = Recompute(SPEC, "default")
    assert world.store.reset_offsets(GROUP, {tp: (anew, 0)}, recompute) == 0
    assert world.sql("SELECT count(*) FROM {s}.anomalies") == [(100,)]
    assert world.sql("SELECT count(*) FROM {s}.anomaly_events") == [(1,)]
