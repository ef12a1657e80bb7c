"""A world whose time passes while it is played, and which can change."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.streams import builtin_specs
from rtmlops_lib.teaching import History, LessonStopped, World
from rtmlops_lib.transport.memory import MemoryBroker
from rtmlops_lib.transport.memory_producer import MemoryProducer

PAST = History(hours=6, servers=3, interval_seconds=300)
SPEC = builtin_specs()["datacenter"]
QUARTER = 3 * 3  # steps, servers


class Kept(MemoryProducer):
    """Keeps what it is given, decoded."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.broker.create_topic(SPEC.topic, partitions=1)
        self.events: list[dict[str, object]] = []

    def send(self, topic: str, value: bytes | None, **more: object) -> None:
        assert topic == SPEC.topic
        assert value is not None
        self.events.append(json.loads(value))


def world_of(producer: Kept, pace: float = 0.0) -> World:
    return World(PAST, producer, [SPEC], seconds_an_hour=pace)


def test_it_goes_on_where_the_history_ends() -> None:
    producer = Kept()
    world = world_of(producer)
    assert world.now == PAST.end
    world.play(0.5)
    assert world.now == PAST.end + timedelta(minutes=30)
    assert world.sent == len(producer.events) == 2 * QUARTER
    later = History(6.5, servers=3, interval_seconds=300, end=world.now)
    whole = later.simulator().span(PAST.end, world.now).datacenter
    assert [e["power_kw"] for e in producer.events] == pytest.approx(
        whole.to_frame()["power_kw"].tolist(), abs=1e-3
    )


def test_time_stands_still_between_two_calls() -> None:
    producer = Kept()
    world = world_of(producer)
    world.play(0.25)
    time.sleep(0.05)
    assert world.now == PAST.end + timedelta(minutes=15)
    world.play(0.25)
    assert world.now == PAST.end + timedelta(minutes=30)
    times = [str(event["time"]) for event in producer.events]
    assert len(set(times)) == 6


def test_a_change_is_felt_from_the_next_event_on_and_not_before() -> None:
    steady, changing = Kept(), Kept()
    world_of(steady).play(1)
    world = world_of(changing)
    world.play(0.5)
    assert world.change("power_curve", 1.2) == PAST.end + timedelta(minutes=30)
    world.play(0.5)
    ratio = [
        float(b["power_kw"]) / float(a["power_kw"])  # type: ignore[arg-type]
        for a, b in zip(steady.events, changing.events, strict=True)
    ]
    assert ratio[: 2 * QUARTER] == [1.0] * (2 * QUARTER)
    assert ratio[2 * QUARTER :] == pytest.approx([1.2] * (2 * QUARTER), rel=0.02)


def test_it_ends_as_soon_as_what_is_waited_for_is_there() -> None:
    producer = Kept()
    world = world_of(producer)
    world.play(10, until=lambda: len(producer.events) >= 2 * QUARTER)
    assert world.now == PAST.end + timedelta(minutes=30)


def test_what_never_comes_stops_the_lesson_after_so_many_hours() -> None:
    world = world_of(Kept())
    with pytest.raises(LessonStopped, match="2 simulated hours passed, and an alert"):
        world.play(2, until=lambda: False, what="an alert")
    assert world.now == PAST.end + timedelta(hours=2)


@pytest.mark.parametrize("seconds", [420, 1_800])
def test_steps_that_do_not_fit_into_a_quarter_of_an_hour_are_refused(
    seconds: float,
) -> None:
    history = History(hours=6, servers=3, interval_seconds=seconds)
    with pytest.raises(UsageError, match=f"no number of steps of {seconds} s"):
        World(history, Kept(), [SPEC])


def test_a_step_is_a_quarter_of_an_hour_however_long_one_waits() -> None:
    producer = Kept()
    world = world_of(producer, pace=60.0)
    assert world.step() == QUARTER == len(producer.events)
    assert world.now == PAST.end + timedelta(minutes=15)


def test_an_hour_takes_as_long_as_it_was_told() -> None:
    begun = time.monotonic()
    world_of(Kept(), pace=0.2).play(1)
    assert 0.2 <= time.monotonic() - begun < 2
