"""Time from produce to visible row at 2,000 events/s."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from rich.console import Console

from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import builtin_specs
from rtmlops_lib.transport.factory import open_admin
from tests.support.latency import seconds_to_visible
from tests.support.service import service
from tests.support.waiting import wait_until

RATE, SECONDS = 2_000, 20


def print_latency(settings: Settings, schema: str, prefix: str, client: str) -> None:
    """Print median and 95th percentile for one client."""
    changed = settings.model_copy(
        update={"database_schema": schema, "topic_prefix": prefix}
    )
    spec = builtin_specs()["datacenter"]
    spec = spec.evolve(topic=prefix + spec.topic)
    with open_admin(settings) as admin, tempfile.TemporaryDirectory() as folder:
        admin.ensure_topics([spec])
        arguments = ("--stream", "datacenter", "--client", client)
        log = Path(folder) / "storage.log"
        with service(changed, log, "consume", "storage", *arguments) as storage:
            wait_until(
                lambda: storage.output().count("reading_from") == spec.partitions,
                timeout=60,
                what="the service reads",
            )
            times = seconds_to_visible(
                bootstrap=settings.kafka_bootstrap_servers,
                database_url=settings.database_url.get_secret_value(),
                schema=schema,
                topic=spec.topic,
                rate=RATE,
                seconds=SECONDS,
            )
        admin.delete([spec.topic, spec.topic + ".dlq"])
    Console().print(
        f"{client}: produce to visible row at {RATE:,} events/s: "
        f"median {statistics.median(times) * 1000:.0f} ms, "
        f"p95 {statistics.quantiles(times, n=20)[-1] * 1000:.0f} ms "
        f"({len(times):,} rows)"
    )
