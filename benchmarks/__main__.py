"""``make bench``: one command, one table, every figure beside its yardstick.

Each measurement runs in a process of its own against the same broker and database,
in turn, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
import uuid
from contextlib import closing

import confluent_kafka
import psycopg2
from rich.console import Console
from rich.table import Table

from benchmarks.latency import print_latency
from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import configure_logging
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import builtin_specs
from rtmlops_lib.transport.factory import open_admin

CLIENTS = ("kafka-python", "confluent")
console = Console()


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

    def bare(self, client: str, topic: str) -> float:
        """Return events/s of the bare loop."""
        schema = self.fresh_schema()
        self.sql(
            f"CREATE TABLE {schema}.bare (time timestamptz, server_id text, "
            "cpu_usage float8, temperature float8, power_kw float8, "
            "network_gbps float8, PRIMARY KEY (server_id, time))"
        )
        arguments = (self.settings.kafka_bootstrap_servers, topic, self.url)
        done = self.child(
            "benchmarks.bare", client, *arguments, f"{schema}.bare", self.events
        )
        self.drop(schema)
        return done["rows"] / done["seconds"]

    def service(self, client: str, topic: str) -> tuple[float, float, float]:
        """Return events/s of the service, its peak MB, its share of dead tuples."""
        schema = self.fresh_schema()
        done = self.child(
            "benchmarks.service",
            client,
            self.settings.kafka_bootstrap_servers,
            topic,
            self.url,
            schema,
            f"group-{schema}",
        )
        rows = self.sql(f"SELECT count(*) FROM {schema}.metrics")[0][0]
        time.sleep(1.5)  # the statistics collector lags by up to a second
        dead = self.sql(
            "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables "
            f"WHERE schemaname = '{schema}' AND relname = 'metrics'"
        )[0][0]
        self.drop(schema)
        return self.events / done["seconds"], done["peak_mb"], float(dead) / rows

    def quix(self, topic: str) -> float:
        """Return events/s of quix-streams' PostgreSQL sink."""
        schema = self.fresh_schema()
        done = self.child(
            "benchmarks.quix",
            self.settings.kafka_bootstrap_servers,
            topic,
            self.url,
            schema,
            self.events,
        )
        self.drop(schema)
        return done["rows"] / done["seconds"]

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


def storage(bench: Bench, clients: tuple[str, ...], repeat: int, quix: bool) -> None:
    """Print the storage service beside the bare loop and its peer."""
    clean, repeats = bench.preload(), bench.preload(duplicates=0.02)
    table = Table(title=f"Storage, {bench.events:,} events, 3 partitions, unique key")
    for column in ("what", "events/s", "ratio", "peak MB", "dead tuples"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for client in clients:
        bare, ours, twos = [], [], []
        for _ in range(repeat):
            bare.append(bench.bare(client, clean))
            ours.append(bench.service(client, clean))
            twos.append(bench.service(client, repeats))
        yardstick = statistics.median(bare)
        speed = statistics.median(x[0] for x in ours)
        with_two = statistics.median(x[0] for x in twos)
        table.add_row(f"{client}: bare loop", f"{yardstick:,.0f}", "1.00", "", "")
        table.add_row(
            f"{client}: storage",
            f"{speed:,.0f}",
            f"{speed / yardstick:.2f} of bare",
            f"{max(x[1] for x in ours):.0f}",
            f"{max(x[2] for x in ours):.2%}",
        )
        table.add_row(
            f"{client}: storage, 2 % duplicates",
            f"{with_two:,.0f}",
            f"{with_two / speed:.2f} of its own",
            f"{max(x[1] for x in twos):.0f}",
            f"{max(x[2] for x in twos):.2%}",
        )
    if quix:
        table.add_row("quix-streams: PostgreSQL sink", f"{bench.quix(clean):,.0f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--events", type=int, default=500_000, help="preloaded events")
    parser.add_argument("--client", choices=CLIENTS, action="append")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; median")
    parser.add_argument("--no-quix", action="store_true", help="leave the peer out")
    parser.add_argument(
        "--only", choices=("storage", "latency"), help="one part instead of all"
    )
    arguments = parser.parse_args()
    settings = Settings.load()
    configure_logging("WARNING")
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}"
    )
    with open_admin(settings):
        pass  # nothing to measure, and to clean up after, without a broker
    bench = Bench(settings, arguments.events)
    try:
        if arguments.only != "latency":
            clients = tuple(arguments.client or CLIENTS)
            storage(bench, clients, arguments.repeat, not arguments.no_quix)
        if arguments.only != "storage":
            for client in arguments.client or CLIENTS:
                schema = bench.fresh_schema()
                print_latency(settings, schema, f"{schema}-", client)
                bench.drop(schema)
    finally:
        bench.close()


if __name__ == "__main__":
    try:
        main()
    except RtmlopsError as error:
        console.print(f"{error}; 'make bench' starts a stack of its own")
        sys.exit(error.exit_code)
