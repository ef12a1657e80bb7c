from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from rtmlops_lib.services.generator import Generator
from rtmlops_lib.services.generator_plan import LivePlan
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.store import Written
from rtmlops_lib.streams import TopicPartition, builtin_specs
from rtmlops_lib.transport import DeliveryFailed
from rtmlops_lib.transport.memory import MemoryBroker

START = datetime(2025, 9, 1, tzinfo=UTC)
SPECS = tuple(builtin_specs().values())


@pytest.fixture
def broker():
    made = MemoryBroker()
    for spec in SPECS:
        made.create_topic(spec.topic)
    return made


def generator(stop=None, specs=SPECS, **settings):
    chosen = SimulatorSettings(**{"servers": 5, "anomaly_prob": 0.4, **settings})
    return Generator(DatacenterSimulator(chosen), specs, stop=stop)


def sent(broker, stream):
    records = broker.log(TopicPartition(builtin_specs()[stream].topic, 0)).records
    return [(record.key, json.loads(record.value)) for record in records]


def live_plan(rate, seconds, servers=5):
    return LivePlan.resolve(
        servers=servers,
        default_interval_seconds=10.0,
        rate=rate,
        duration_seconds=seconds,
    )


def test_a_live_run_sends_each_reading_once_at_its_rate(broker):
    summary = generator().live(broker.producer(), live_plan(400, 1.5), START)
    events = sent(broker, "datacenter")
    assert summary.sent["datacenter"] == len(events) == 600
    assert len({(key, event["time"]) for key, event in events}) == 600
    assert all(key.decode() == event["server_id"] for key, event in events)
    assert summary.rate == pytest.approx(400, rel=0.05)
    assert summary.kept_up


@pytest.mark.alone
def test_seconds_are_wall_time_also_of_a_slow_run(broker):
    plan = live_plan(4, 1.5)
    began: list[float] = []

    def note(share):
        began[:] = [time.monotonic()]

    summary = generator().live(broker.producer(), plan, START, warming=note)
    wall = time.monotonic() - began[0]
    assert summary.seconds == pytest.approx(1.5, abs=0.1)
    assert summary.seconds <= wall <= summary.seconds + 0.5
    assert summary.sent["datacenter"] == 6
    assert summary.rate == pytest.approx(4, rel=0.07)


def test_live_and_backfill_send_the_same_events(broker):
    end = START + timedelta(seconds=1200)
    generator().backfill(broker.producer(), START, end)
    filled = {stream: sent(broker, stream) for stream in builtin_specs()}
    other = MemoryBroker()
    for spec in SPECS:
        other.create_topic(spec.topic)
    summary = generator().live(other.producer(), live_plan(1200, 0.5), START)
    assert summary.sent["datacenter"] == len(filled["datacenter"]) == 600
    for stream, events in filled.items():
        streamed = [event for _, event in sent(other, stream)]
        assert streamed == [event for _, event in events][: len(streamed)]
        assert streamed


def test_labels_go_to_their_own_topic_alone(broker):
    generator().backfill(broker.producer(), START, START + timedelta(hours=3))
    assert sent(broker, "labels")
    for stream in ("datacenter", "services"):
        known = {"time", *builtin_specs()[stream].fields}
        assert all(set(event) == known for _, event in sent(broker, stream))


def test_only_the_chosen_streams_are_sent(broker):
    only = (builtin_specs()["services"],)
    made = generator(specs=only)
    summary = made.backfill(broker.producer(), START, START + timedelta(hours=1))
    assert set(summary.sent) == {"services"}
    assert sent(broker, "datacenter") == []
    assert summary.rate > 0


def test_labels_alone_keep_the_pace_of_the_fleet(broker):
    made = generator(specs=(builtin_specs()["labels"],), anomaly_prob=0.05)
    summary = made.live(broker.producer(), live_plan(2000, 1), START)
    assert set(summary.sent) <= {"labels"}
    assert summary.seconds == pytest.approx(1, abs=0.2)
    assert sent(broker, "datacenter") == []


def test_a_stop_ends_a_live_run_and_flushes(broker):
    stop = threading.Event()
    timer = threading.Timer(0.4, stop.set)
    timer.start()
    began = time.monotonic()
    summary = generator(stop).live(broker.producer(), live_plan(100, 60), START)
    assert time.monotonic() - began < 5
    assert summary.sent["datacenter"] == len(sent(broker, "datacenter")) > 0
    timer.join()


@pytest.mark.parametrize("mode", ["live", "backfill"])
def test_a_stop_ends_the_warm_up_with_nothing_sent(broker, mode):
    stop = threading.Event()
    made = generator(stop, servers=400, interval_seconds=1.0)
    shares = []

    def warming(share):
        shares.append(share)
        if len(shares) == 3:
            stop.set()

    if mode == "live":
        plan = live_plan(400, 60, servers=400)
        summary = made.live(broker.producer(), plan, START, warming=warming)
    else:
        end = START + timedelta(days=30)
        summary = made.backfill(broker.producer(), START, end, warming=warming)
    assert len(shares) == 3
    assert summary.sent.total() == 0 == len(sent(broker, "datacenter"))
    assert summary.as_dict()["first_event"] is None


def test_a_stop_ends_a_backfill(broker):
    stop = threading.Event()
    made = generator(stop)
    summary = made.backfill(
        broker.producer(),
        START,
        START + timedelta(days=30),
        progress=lambda _: stop.set(),
    )
    assert 0 < summary.sent["datacenter"] < 30 * 8640 * 5


def test_a_rate_that_cannot_be_held_is_said_once(broker, monkeypatch, capsys):
    from rtmlops_lib.logs import configure_logging

    configure_logging(fmt="json")
    monkeypatch.setattr("rtmlops_lib.services.generator._LATE_SECONDS", 0.2)
    producer = broker.producer()
    quick = producer.send

    def slow(*arguments, **named):
        time.sleep(0.002)
        quick(*arguments, **named)

    monkeypatch.setattr(producer, "send", slow)
    summary = generator().live(producer, live_plan(5000, 1.5), START)
    assert not summary.kept_up
    assert summary.rate < 4000
    assert summary.seconds < 4
    assert capsys.readouterr().err.count("generator_behind") == 1


def test_a_delivery_that_fails_is_not_counted_as_sent(broker):
    broker.fail_deliveries(1)
    with pytest.raises(DeliveryFailed):
        generator().backfill(broker.producer(), START, START + timedelta(minutes=5))


def test_direct_hands_every_batch_to_the_store():
    class Shelf:
        def __init__(self):
            self.rows = 0

        def backfill(self, batches):
            for batch in batches:
                self.rows += len(batch)
            return Written(duplicates={"datacenter": 7})

    shelf = Shelf()
    summary = generator().direct(shelf, START, START + timedelta(hours=2))
    assert summary.sent.total() == shelf.rows
    assert summary.sent["datacenter"] == 3600
    assert summary.as_dict()["duplicates"] == 7
    assert summary.as_dict()["first_event"] == "2025-09-01T00:00:00Z"
    assert summary.as_dict()["last_event"] == "2025-09-01T01:59:50Z"
