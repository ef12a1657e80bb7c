"""The commands over the store, called as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import builtin_specs
from rtmlops_lib.transport.factory import open_admin, open_consumer, open_producer
from tests.live.store.events import GROUP, World, events, moved

pytestmark = pytest.mark.live


class Commands:
    def __init__(self, world: World, kafka: str, prefix: str, folder: Path) -> None:
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "RTMLOPS_ENV_FILE": "",
            "RTMLOPS_HOME": str(folder / "none"),
            "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "RTMLOPS_DATABASE_URL": world.url,
            "RTMLOPS_DATABASE_SCHEMA": world.schema,
            "RTMLOPS_TOPIC_PREFIX": prefix,
        }
        self.folder = folder

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rtmlops_lib.cli", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture
def rtmlops(
    plain_world: World, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> Commands:
    return Commands(plain_world, kafka_bootstrap, topic_prefix, tmp_path)


def test_db_migrates_maintains_and_counts(
    rtmlops: Commands, plain_world: World
) -> None:
    done = json.loads(rtmlops("db", "migrate", "--json"))["done"]
    assert "created table service_metrics" in done
    assert "nothing to do" in rtmlops("db", "migrate")
    plain_world.store.backfill([events(range(600))])
    assert json.loads(rtmlops("db", "maintain", "--json"))["buckets"] == 101
    assert "buckets: 0" in rtmlops("db", "maintain")
    tables = {r["table_name"] for r in json.loads(rtmlops("db", "stats", "--json"))}
    assert {"metrics", "stream_offsets"} <= tables
    assert "metrics_1m_data" in rtmlops("db", "stats")


def test_export_writes_what_is_stored(
    rtmlops: Commands, plain_world: World, tmp_path: Path
) -> None:
    batch = events(range(1_000), attributes='{"rack": "r,1"}')
    plain_world.store.backfill([batch])
    since = ("--since", "2025-10-01T00:00:00Z", "--stream", "datacenter")
    for name in ("out.parquet", "out.csv"):
        answer = rtmlops("export", *since, "--out", name, "--json")
        assert json.loads(answer)["rows"] == 1_000
    stored = plain_world.store.read(plain_world.spec)
    parquet = pd.read_parquet(tmp_path / "out.parquet")
    assert parquet["attributes"][0] == '{"rack": "r,1"}'
    pd.testing.assert_frame_equal(
        parquet.drop(columns="attributes"), stored, check_dtype=False
    )
    csv = pd.read_csv(tmp_path / "out.csv", parse_dates=["time"])
    assert csv["cpu_usage"].tolist() == stored["cpu_usage"].tolist()
    assert (csv["time"] == stored["time"]).all()
    assert "in nothing.csv" in rtmlops(
        "export", *since, "--until", "2025-10-02T00:00:00Z", "--out", "nothing.csv"
    )
    assert (tmp_path / "nothing.csv").read_text().startswith("time,server_id")
    assert ".parquet" in rtmlops("export", *since, "--out", "x.xlsx", code=2)
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob(".*partial"))


def test_offsets_are_shown_and_reset_only_while_the_group_is_stopped(
    rtmlops: Commands, plain_world: World, kafka_bootstrap: str, topic_prefix: str
) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka_bootstrap)
    spec = builtin_specs()["datacenter"]
    topic = topic_prefix + spec.topic
    with open_admin(settings) as admin:
        admin.ensure_topics([spec.evolve(topic=topic)], dlq=False)
    producer = open_producer(settings)
    # Of today: the broker would soon drop what is older than its retention.
    base = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    for number in range(10):
        stamp = int(base.timestamp() * 1_000) + 1_000 * number
        producer.send(topic, b"{}", partition=0, timestamp_ms=stamp)
    producer.flush()
    producer.close()
    group = topic_prefix + GROUP
    target = ("offsets", "reset", "--stream", "datacenter", "--group", group)

    def reset(to: str, *more: str) -> list[int]:
        rows = json.loads(rtmlops(*target, "--to", to, "--json", *more))
        return [row["next_offset"] for row in rows]

    assert reset("latest") == [10, 0, 0]
    assert reset("earliest") == [0, 0, 0]
    assert reset("4", "--partition", "0") == [4]
    assert reset((base + timedelta(seconds=5)).isoformat()) == [5, 0, 0]
    shown = json.loads(rtmlops("offsets", "show", "--group", group, "--json"))
    assert [(r["partition"], r["next_offset"]) for r in shown][0] == (0, 5)
    assert topic in rtmlops("offsets", "show")
    assert "lies outside" in rtmlops(*target, "--to", "99", code=2)
    assert "3 partitions" in rtmlops(
        *target, "--to", "earliest", "--partition", "7", code=2
    )
    member = open_consumer(settings, group=group, topics=[topic])
    try:
        while not member.assignment():
            member.poll_batch(1, 0.2)
        assert "is running" in rtmlops(*target, "--to", "earliest", code=2)
    finally:
        member.close()
    assert reset("earliest") == [0, 0, 0]


def test_a_reset_fences_whoever_wrote_before(plain_world: World) -> None:
    position = plain_world.claim(0)[0]
    plain_world.store.reset_offsets(
        GROUP, {position.topic_partition: (position.ref, 0)}
    )
    assert plain_world.store.write(GROUP, [], [moved(position, 1)]).fenced
