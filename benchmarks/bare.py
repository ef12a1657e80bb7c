"""A bare poll-decode-COPY loop, without any guarantee: the yardstick.

It is written as fast as plain code allows: typed decoding, one COPY a batch, one
transaction a batch, the same batch size and the same unique key as the service.
"""

from __future__ import annotations

import io
import json
import sys
import time

import msgspec
import psycopg2

BATCH = 5_000


class Event(msgspec.Struct):
    time: str
    server_id: str
    cpu_usage: float
    temperature: float
    power_kw: float
    network_gbps: float


def kafka_python(bootstrap: str, topic: str):
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"bare-{time.time_ns()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    while True:
        polled = consumer.poll(timeout_ms=100, max_records=BATCH)
        yield [record.value for records in polled.values() for record in records]


def confluent(bootstrap: str, topic: str):
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bare-{time.time_ns()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    while True:
        yield [m.value() for m in consumer.consume(BATCH, timeout=0.1)]


def main() -> None:
    client, bootstrap, topic, url, table, count = sys.argv[1:]
    polls = (kafka_python if client == "kafka-python" else confluent)(bootstrap, topic)
    decode = msgspec.json.Decoder(Event).decode
    columns = "time, server_id, cpu_usage, temperature, power_kw, network_gbps"
    statement = f"COPY {table} ({columns}) FROM STDIN"
    connection = psycopg2.connect(url)
    cursor = connection.cursor()
    started, rows = None, 0
    for values in polls:
        if not values:
            continue
        if started is None:
            started = time.perf_counter()
        events = [decode(value) for value in values]
        text = "\n".join(
            [
                f"{e.time}\t{e.server_id}\t{e.cpu_usage}\t{e.temperature}"
                f"\t{e.power_kw}\t{e.network_gbps}"
                for e in events
            ]
        )
        cursor.copy_expert(statement, io.StringIO(text + "\n"), 1 << 20)
        connection.commit()
        rows += len(events)
        if rows >= int(count):
            break
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
