"""A team's own Kafka topic and empty database: what the README tells them to do."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import psycopg2
import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.transport.factory import open_admin, open_producer
from tests.support.service import command, environment, get_json, service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.live


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_three_commands_store_a_foreign_topic(
    settings: Settings, topic_prefix: str, tmp_path: Path
) -> None:
    topic = f"{topic_prefix}Taxi.trips"
    with open_admin(settings) as admin:
        admin.create(topic, partitions=2)
    producer = open_producer(settings)
    for number in range(100):
        trip = {
            "ts": f"2026-03-01T12:00:{number % 60:02d}.{number:03d}Z",
            "taxi_id": f"t{number % 7}",
            "fare": number / 4,
            "tip": number % 3,
        }
        producer.send(topic, json.dumps(trip).encode(), key=trip["taxi_id"].encode())
    producer.flush()
    producer.close()
    env = environment(settings)

    def rtmlops(*arguments: str) -> str:
        done = subprocess.run(
            command(*arguments),
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = rtmlops(
        "stream", "init", "--topic", topic, "--name", "trips", "--out", "mine.yaml"
    )
    assert "wrote mine.yaml, drafted from 100 records" in said
    assert "100 valid events of 100" in rtmlops("stream", "validate", "mine.yaml")

    # Without tables the service stays, says so and how to help, and then goes on.
    port = free_port()
    consume = ("consume", "storage", "--stream", str(tmp_path / "mine.yaml"))
    more = ("--group", f"{topic_prefix}g", "--metrics-port", str(port))
    with service(settings, tmp_path / "log", *consume, *more) as running:
        reasons = wait_until(
            lambda: [
                reason
                for reason in get_json(port, "/readyz")[1].get("reasons", [])
                if "does not exist" in reason
            ],
            timeout=40,
            what="not ready, for want of tables",
        )
        assert "rtmlops db migrate" in reasons[0]
        assert running.running
        assert "created table trips" in rtmlops(
            "db", "migrate", "--stream", "mine.yaml"
        )
        wait_until(
            lambda: get_json(port, "/readyz")[0] == 200,
            timeout=40,
            what="ready once there are tables",
        )
        with psycopg2.connect(settings.database_url.get_secret_value()) as connection:

            def stored() -> int:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM trips")
                    return int(cursor.fetchone()[0])

            wait_until(lambda: stored() == 100, timeout=20, what="100 rows")
        connection.close()
        assert running.terminate() == 0
