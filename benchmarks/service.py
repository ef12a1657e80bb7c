"""The storage service, timed from its first record to its last commit."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from rtmlops_lib.logs import configure_logging
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.letters import DeadLetters
from rtmlops_lib.services.loop import ConsumeLoop
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.process import SWITCH_SECONDS
from rtmlops_lib.services.storage import StorageHandler
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import builtin_specs
from rtmlops_lib.transport.factory import open_consumer


class Timed:
    """Passes everything on, and notes first records and last commit on the way."""

    first: float | None = None
    last = 0.0

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def poll_batch(self, *arguments: Any) -> Any:
        polled = self._inner.poll_batch(*arguments)
        if Timed.first is None and polled.records:
            Timed.first = time.perf_counter()
        return polled

    def write(self, group: str, batches: Any, *more: Any, **options: Any) -> Any:
        written = self._inner.write(group, batches, *more, **options)
        if batches:
            Timed.last = time.perf_counter()
        return written


def main() -> None:
    configure_logging("WARNING")
    sys.setswitchinterval(SWITCH_SECONDS)
    client, bootstrap, topic, url, schema, group = sys.argv[1:]
    settings = Settings(
        kafka_bootstrap_servers=bootstrap,
        kafka_client=client,
        database_url=url,
        database_schema=schema,
    )
    loop = ConsumeLoop(
        group=group,
        specs=[builtin_specs()["datacenter"].evolve(topic=topic)],
        open_consumer=lambda: Timed(
            open_consumer(settings, group=group, topics=[topic])
        ),
        store=Timed(open_store(settings)),
        handler=StorageHandler(),
        sink=DeadLetters(settings),
        metrics=ServiceMetrics("storage"),
        health=Health(),
        options=LoopOptions(until_idle=1.0),
    )
    code = loop.run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = Timed.last - (Timed.first or 0.0)
    print(json.dumps({"code": code, "seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
