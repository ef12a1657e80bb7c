"""The storage service, timed from its first record to its last commit."""

from __future__ import annotations

import json
import resource
import sys
import time

from rtmlops_lib.services.loop import LoopOptions
from rtmlops_lib.services.storage import storage_loop
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import builtin_specs


class Clock:
    first: float | None = None
    last = 0.0


def main() -> None:
    client, bootstrap, topic, url, schema, group = sys.argv[1:]
    settings = Settings(
        kafka_bootstrap_servers=bootstrap,
        kafka_client=client,
        database_url=url,
        database_schema=schema,
    )
    spec = builtin_specs()["datacenter"].evolve(topic=topic)
    loop = storage_loop(
        settings, [spec], group=group, options=LoopOptions(until_idle=1.0)
    )
    clock = Clock()
    _time_it(loop, clock)
    code = loop.run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"code": code, "seconds": clock.last - clock.first, "peak_mb": peak}
        )
    )


def _time_it(loop, clock: Clock) -> None:
    """Note when the first records come and when the last write returns."""
    taken_in, written = loop._take_in, loop._written

    def take_in(polled):
        if clock.first is None and polled.records:
            clock.first = time.perf_counter()
        taken_in(polled)

    def note(consumer, task, result):
        written(consumer, task, result)
        if task.chunks:
            clock.last = time.perf_counter()

    loop._take_in, loop._written = take_in, note


if __name__ == "__main__":
    main()
