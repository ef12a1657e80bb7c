"""Topics, schemas and child processes of one run of the benchmarks."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from contextlib import closing
from typing import NamedTuple

import confluent_kafka
import psycopg2

from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import builtin_specs
from rtmlops_lib.transport.factory import open_admin


class Timing(NamedTuple):
    """What one run of a service came to."""

    events_per_second: float
    peak_mb: float
    dead_share: float
    rows: int


class Bench:
    """Topics and tables of one run, wiped before and after each measurement."""

    def __init__(self, settings: Settings, events: int) -> None:
        self.settings = settings
        self.events = events
        self.url = settings.database_url.get_secret_value()
        self.tag = f"bench_{uuid.uuid4().hex[:8]}"
        self.topics: list[str] = []

    def preload(self, duplicates: float = 0.0) -> str:
        """Return a new topic with that many six-field events on three partitions."""
        topic = f"{self.tag}-{len(self.topics)}"
        spec = builtin_specs()["datacenter"].evolve(topic=topic)
        with open_admin(self.settings) as admin:
            admin.ensure_topics([spec])
        self.topics.append(topic)
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap_servers,
                "linger.ms": 20,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        servers, every = 50, round(1 / duplicates) if duplicates else 0
        picked = random.Random(42)
        base = int(time.time()) - self.events // servers - 60
        for n in range(self.events):
            # Every k-th event repeats any one before it.
            serial = picked.randrange(n) if every and n and n % every == 0 else n
            producer.produce(topic, key=_key(serial), value=_value(serial, base))
            if n % 1_000 == 0:
                producer.poll(0)
        producer.flush()
        return topic

    def fresh_schema(self) -> str:
        """Return a schema with the datacenter's tables, empty."""
        schema = f"{self.tag}_{uuid.uuid4().hex[:4]}"
        changed = self.settings.model_copy(update={"database_schema": schema})
        with closing(open_store(changed)) as store:
            store.migrate([builtin_specs()["datacenter"]])
        return schema

    def sql(self, query: str):
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall() if cursor.description else []

    def drop(self, schema: str) -> None:
        self.sql(f"DROP SCHEMA {schema} CASCADE")

    def child(self, module: str, *arguments: object) -> dict[str, float]:
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith("RTMLOPS_")
        }
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=600,
        )
        if done.returncode:
            sys.exit(f"{module} failed:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def service(self, kind: str, client: str, topic: str, *more: object) -> Timing:
        """Run one of our services over the whole topic."""
        schema = self.fresh_schema()
        done = self.child(
            "benchmarks.service",
            kind,
            client,
            self.settings.kafka_bootstrap_servers,
            topic,
            self.url,
            schema,
            f"group-{schema}",
            *more,
        )
        tables = {"predictor": "predictions", "detector": "anomalies"}
        table = tables.get(kind, "metrics")
        rows = self.sql(f"SELECT count(*) FROM {schema}.{table}")[0][0]
        time.sleep(1.5)  # the statistics collector lags by up to a second
        dead = self.sql(
            "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables "
            f"WHERE schemaname = '{schema}' AND relname = '{table}'"
        )[0][0]
        self.drop(schema)
        return Timing(self.events / done["seconds"], done["peak_mb"], dead / rows, rows)

    def close(self) -> None:
        with open_admin(self.settings) as admin:
            admin.delete(self.topics)


def _key(serial: int) -> bytes:
    return b"srv-%03d" % (serial % 50)


def _value(serial: int, base: int) -> bytes:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(base + serial // 50))
    cpu = serial % 997 / 10
    return (
        f'{{"time": "{moment}", "server_id": "srv-{serial % 50:03d}", '
        f'"cpu_usage": {cpu}, "temperature": {40 + cpu / 4:.1f}, '
        f'"power_kw": {1 + cpu / 60:.2f}, "network_gbps": {cpu / 90:.2f}}}'
    ).encode()
