"""Time from produce to visible row at 2,000 events/s."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime

import confluent_kafka

RATE, SECONDS = 2_000, 20


def latency_p95(bench, console) -> None:
    """Print median and 95th percentile, produce time carried in the event's time.

    ``ingest_time`` is the transaction's start, so the visible moment is taken from a
    reader that polls for new rows; its own period (5 ms) is part of the figure.
    """
    for client in ("kafka-python", "confluent"):
        times = measure(bench, client)
        console.print(
            f"{client}: produce to visible row at {RATE:,} events/s: "
            f"median {statistics.median(times) * 1000:.0f} ms, "
            f"p95 {statistics.quantiles(times, n=20)[-1] * 1000:.0f} ms "
            f"({len(times):,} rows)"
        )


def measure(bench, client: str) -> list[float]:
    """Return seconds from produce to visible, one a row."""
    schema, topic = bench.fresh_schema(), bench.tag + f"-latency-{client}"
    from rtmlops_lib.streams import builtin_specs
    from rtmlops_lib.transport.factory import open_admin

    spec = builtin_specs()["datacenter"].evolve(topic=topic)
    with open_admin(bench.settings) as admin:
        admin.ensure_topics([spec])
    bench.topics.append(topic)
    environment = {k: v for k, v in os.environ.items() if "RTMLOPS" not in k} | {
        "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS": bench.settings.kafka_bootstrap_servers,
        "RTMLOPS_DATABASE_URL": bench.url,
        "RTMLOPS_DATABASE_SCHEMA": schema,
        "RTMLOPS_TOPIC_PREFIX": topic.removesuffix(topic.split("-")[-1]),
    }
    environment["RTMLOPS_TOPIC_PREFIX"] = ""
    spec_file = f"{schema}.yaml"
    folder = os.environ.get("TMPDIR", "/tmp")
    path = os.path.join(folder, spec_file)
    with open(path, "w", encoding="utf-8") as file:
        file.write(spec.to_yaml())
    storage = subprocess.Popen(
        [sys.executable, "-m", "rtmlops_lib.cli", "consume", "storage"]
        + ["--stream", path, "--client", client, "--group", schema],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        return _run(bench, schema, topic)
    finally:
        storage.terminate()
        storage.wait(15)
        os.unlink(path)
        bench.drop(schema)


def _run(bench, schema: str, topic: str) -> list[float]:
    import threading

    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bench.settings.kafka_bootstrap_servers, "linger.ms": 0}
    )
    seen: dict[str, float] = {}
    done = threading.Event()

    def watch() -> None:
        import psycopg2

        connection = psycopg2.connect(bench.url)
        connection.autocommit = True
        cursor, last = connection.cursor(), 0
        while not done.is_set():
            # Positions only grow: rows beyond the last count are the new ones.
            cursor.execute(
                f"SELECT server_id FROM {schema}.metrics WHERE ctid > %s::tid",
                (f"({last},0)",),
            )
            now = time.time()
            for (server,) in cursor.fetchall():
                seen.setdefault(server, now)
            cursor.execute(f"SELECT max(ctid) FROM {schema}.metrics")
            (tid,) = cursor.fetchone()
            last = int(tid[1:].split(",")[0]) if tid else 0
            time.sleep(0.005)
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    sent: dict[str, float] = {}
    time.sleep(8)  # the member joins
    start, count = time.time(), RATE * SECONDS
    for n in range(count):
        due = start + n / RATE
        if (ahead := due - time.time()) > 0:
            time.sleep(ahead)
        now = time.time()
        server = f"s{n}"
        sent[server] = now
        moment = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
        producer.produce(
            topic,
            key=server.encode(),
            value=(
                f'{{"time": "{moment}", "server_id": "{server}", "cpu_usage": 1, '
                '"temperature": 40, "power_kw": 1, "network_gbps": 0.1}}'.replace(
                    "}}", "}"
                )
            ).encode(),
        )
        producer.poll(0)
    producer.flush()
    time.sleep(2)
    done.set()
    watcher.join()
    # The first second holds the caches' warming.
    return [seen[s] - t for s, t in sent.items() if s in seen and t > start + 1]
