"""Time from produce to visible row, for one client at a steady rate."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing

import confluent_kafka
import psycopg2

from tests.support.foreign import event


def seconds_to_visible(
    *,
    bootstrap: str,
    database_url: str,
    schema: str,
    topic: str,
    rate: int,
    seconds: float,
    skip_seconds: float = 1.0,
) -> list[float]:
    """Send at ``rate`` events/s and return, for each, the time until its row is seen.

    A row and its partition's offset become visible together, in one transaction, so
    the watcher asks for the offsets only; its period (5 ms) is part of the result.
    The events of the first ``skip_seconds`` are left out: caches warm up.
    """
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 0}
    )
    sent: dict[tuple[int, int], float] = {}
    seen: list[tuple[float, dict[int, int]]] = []
    done = threading.Event()

    def watch() -> None:
        query = f"SELECT partition, next_offset FROM {schema}.stream_offsets"
        with closing(psycopg2.connect(database_url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            while not done.wait(0.005):
                cursor.execute(query)
                seen.append((time.monotonic(), dict(cursor.fetchall())))

    def delivered(started: float):
        def note(error, message) -> None:
            assert error is None, error
            sent[message.partition(), message.offset()] = started

        return note

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.monotonic()
    try:
        for n in range(int(rate * seconds)):
            ahead = start + n / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            value = event(n % 500, n // 500)
            producer.produce(
                topic,
                key=str(value["server_id"]).encode(),
                value=json.dumps(value).encode(),
                on_delivery=delivered(time.monotonic()),
            )
            producer.poll(0)
        assert producer.flush(10) == 0
        time.sleep(2)
    finally:
        done.set()
        watcher.join()
    return _latencies(sent, seen, start + skip_seconds)


def _latencies(
    sent: dict[tuple[int, int], float],
    seen: list[tuple[float, dict[int, int]]],
    begin: float,
) -> list[float]:
    found = []
    for partition in {p for p, _ in sent}:
        looks = iter(seen)
        at, offsets = next(looks)
        for offset in sorted(o for p, o in sent if p == partition):
            while offsets.get(partition, 0) <= offset:
                at, offsets = next(looks)  # StopIteration: a row never came
            started = sent[partition, offset]
            if started >= begin:
                found.append(at - started)
    return found
