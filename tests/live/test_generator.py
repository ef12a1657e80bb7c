"""``rtmlops generate`` as a process against a real Kafka and a real database."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from contextlib import closing
from datetime import datetime

import confluent_kafka
import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import builtin_specs
from rtmlops_lib.transport import open_admin
from tests.support.service import command, environment, service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.live


@pytest.fixture
def site(settings: Settings, topic_prefix: str) -> Settings:
    schema = "g" + topic_prefix.rstrip("-")
    return settings.model_copy(
        update={"topic_prefix": topic_prefix, "database_schema": schema}
    )


@pytest.fixture
def generate(site):
    def run(*arguments, timeout=120):
        done = subprocess.run(
            command("generate", "--json", *arguments),
            env=environment(site),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def records(site: Settings, stream: str) -> list[confluent_kafka.Message]:
    topic = site.topic_prefix + builtin_specs()[stream].topic
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": site.kafka_bootstrap_servers,
            "group.id": "none",
            "enable.auto.commit": False,
        }
    )
    found = []
    try:
        for partition in consumer.list_topics(topic, 10).topics[topic].partitions:
            tp = confluent_kafka.TopicPartition(topic, partition, 0)
            _, end = consumer.get_watermark_offsets(tp, 10)
            consumer.assign([tp])
            position = 0
            while position < end:
                for message in consumer.consume(min(5_000, end - position), 5.0):
                    assert message.error() is None
                    found.append(message)
                    position = message.offset() + 1
    finally:
        consumer.close()
    return found


@pytest.mark.alone
@pytest.mark.parametrize(
    ("client", "rate"),
    [("kafka-python", 50), ("kafka-python", 1500), ("confluent", 1500)],
)
def test_live_mode_holds_its_rate_by_the_records_own_timestamps(
    generate, site, client, rate
):
    summary = generate("--rate", str(rate), "--duration", "6", "--client", client)
    assert summary["kept_up"]
    assert summary["sent"]["datacenter"] == rate * 6
    stamps = sorted(r.timestamp()[1] for r in records(site, "datacenter"))
    assert len(stamps) == rate * 6
    measured = (len(stamps) - 1) / ((stamps[-1] - stamps[0]) / 1000)
    assert measured == pytest.approx(rate, rel=0.02)
    # Steady in between too: the middle half holds half of the events.
    quarter = (stamps[-1] - stamps[0]) / 4
    middle = [s for s in stamps if stamps[0] + quarter <= s < stamps[-1] - quarter]
    assert len(middle) == pytest.approx(len(stamps) / 2, rel=0.04)


def test_simulated_time_ends_now_and_all_streams_are_sent(generate, site):
    summary = generate(
        *("--profile", "chaos", "--anomaly-prob", "0.5"),
        *("--speed", "600", "--duration", "4"),
    )
    assert set(summary["sent"]) == set(builtin_specs())
    for stream, count in summary["sent"].items():
        found = records(site, stream)
        assert len(found) == count
        if stream == "labels":
            continue
        behind = []
        for record in found:
            event = json.loads(record.value())
            spec = builtin_specs()[stream]
            assert record.key().decode() == event[spec.partition_key]
            sent = record.timestamp()[1] / 1000
            behind.append(sent - seconds_of(event["time"]))
        assert min(behind) >= 0
        assert max(behind) <= 4 * 600 + 15
        assert min(behind) <= 25


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_backfill_fills_the_past_up_to_now(generate, site):
    summary = generate("--backfill", "1h", "--servers", "10")
    assert summary["mode"] == "backfill"
    assert summary["sent"]["datacenter"] == 3600
    identities = {
        (event["server_id"], event["time"])
        for event in (json.loads(r.value()) for r in records(site, "datacenter"))
    }
    assert len(identities) == 3600


def test_a_direct_backfill_stores_once_however_often(generate, site):
    drift = ("--drift", "power_curve=1.5", "--drift-at", "50%")
    arguments = ("--backfill", "2h", "--servers", "5", "--direct", *drift)
    first = generate(*arguments)
    assert first["sent"]["datacenter"] == 3600
    assert (first["duplicates"], first["refused"]) == (0, 0)
    with closing(open_store(site)) as store:
        rows = store.read(builtin_specs()["datacenter"])
        services = store.read(builtin_specs()["services"])
    assert len(rows) == 3600
    assert len(services) == first["sent"]["services"]
    middle = rows.time.min() + (rows.time.max() - rows.time.min()) / 2
    per_load = rows.power_kw / (rows.cpu_usage + 30)
    after = rows.time > middle
    assert per_load[after].mean() > 1.3 * per_load[~after].mean()
    again = generate("--backfill", "1h", "--servers", "5", "--direct")
    # The same seed without the drift: what differs stays as it was first stored.
    assert again["refused"] > 0
    with closing(open_store(site)) as store:
        stored = store.read(builtin_specs()["datacenter"])
    merged = stored.merge(rows, on=["server_id", "time"], suffixes=("", "_first"))
    assert len(merged) == 3600
    assert (merged.power_kw == merged.power_kw_first).all()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)]
)
def test_a_signal_ends_it_cleanly_with_a_summary(site, tmp_path, number, code):
    arguments = ("generate", "--duration", "0", "--rate", "40", "--json")
    with service(site, tmp_path / "log", *arguments) as running:
        with open_admin(site) as admin:
            topic = site.topic_prefix + builtin_specs()["datacenter"].topic
            wait_until(
                lambda: sum(admin.end_offsets([topic]).values()) > 20,
                timeout=30,
                what="events arrive",
            )
        running.signal(number)
        assert running.wait(15) == code
        summary = json.loads(running.output().strip().splitlines()[-1])
    assert summary["stopped_by"] == number.name
    assert summary["sent"]["datacenter"] == len(records(site, "datacenter"))


def test_a_signal_ends_the_warm_up_at_once(site, tmp_path):
    arguments = ("generate", "--servers", "10000", "--interval", "1s", "--json")
    with service(site, tmp_path / "log", *arguments) as running:
        topic = site.topic_prefix + builtin_specs()["services"].topic
        with open_admin(site) as admin:
            wait_until(
                lambda: topic in admin.list_topics(), timeout=30, what="the topics"
            )
        # Some minutes of warm-up are left.
        time.sleep(2)
        running.signal(signal.SIGINT)
        assert running.wait(10) == 130
        summary = json.loads(running.output().strip().splitlines()[-1])
    assert summary["stopped_by"] == "SIGINT"
    assert summary["sent"] == {} and records(site, "datacenter") == []


def test_what_runs_share_they_repeat_and_another_seed_is_warned_of(site):
    def run(*arguments):
        done = subprocess.run(
            command("generate", "--json", "--servers", "5", *arguments),
            # Some shells and build servers set it, terminal or not.
            env=environment(site, FORCE_COLOR="1"),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "\x1b" not in done.stderr
        return json.loads(done.stdout), done.stderr

    first, said = run("--backfill", "1h", "--interval", "60s")
    assert first["overlap_until"] is None and said == ""
    # Within the same minute, mostly; it does not send that minute again.
    now, said = run("--duration", "1", "--interval", "60s", "--seed", "7")
    assert seconds_of(now["first_event"]) > seconds_of(first["last_event"])
    assert now["overlap_until"] is None and said == ""
    fast, said = run("--speed", "200", "--duration", "1", "--seed", "7")
    assert fast["overlap_until"] == now["last_event"]
    assert "conflict" in said and "--topic-prefix" in said


def test_without_kafka_it_says_so(site):
    nowhere = site.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    done = subprocess.run(
        command("generate", "--duration", "1"),
        env=environment(nowhere),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
