"""quix-streams with its PostgreSQL sink, timed from its first row to its last."""

from __future__ import annotations

import json
import sys
import time
from urllib.parse import urlsplit

import psycopg2
from quixstreams import Application
from quixstreams.sinks.community.postgresql import PostgreSQLSink


def main() -> None:
    bootstrap, topic, url, schema, count = sys.argv[1:]
    parts = urlsplit(url)
    sink = PostgreSQLSink(
        host=parts.hostname,
        port=parts.port,
        dbname=parts.path.strip("/"),
        user=parts.username,
        password=parts.password or "",
        table_name="quix_metrics",
        schema_name=schema,
        schema_auto_update=True,
    )
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        loglevel="ERROR",
    )
    source = app.topic(topic, value_deserializer="json")
    clock: dict[str, float] = {}

    def first(value):
        clock.setdefault("first", time.perf_counter())
        return value

    app.dataframe(source).apply(first).sink(sink)
    app.run(count=int(count))
    seconds = time.perf_counter() - clock["first"]
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {schema}.quix_metrics")
        rows = cursor.fetchone()[0]
    print(json.dumps({"rows": rows, "seconds": seconds}))


if __name__ == "__main__":
    main()
