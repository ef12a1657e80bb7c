"""A consume loop as a process: signals, health server, maintenance, exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rtmlops_lib.logs import get_logger
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.hosting import exit_code, hosted
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.maintenance import Maintenance
from rtmlops_lib.services.storage import storage_loop
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import StreamSpec

__all__ = ["run_storage"]

log = get_logger(__name__)
# The writer thread does little but wait for the database; by default it would then
# wait up to 5 ms more, several times a batch, for the thread that decodes.
SWITCH_SECONDS = 0.0005


def run_storage(
    settings: Settings,
    specs: Sequence[StreamSpec],
    *,
    group: str,
    options: LoopOptions,
    group_instance_id: str | None = None,
) -> int:
    """Store streams until SIGTERM, SIGINT or idle; return the exit code."""
    sys.setswitchinterval(SWITCH_SECONDS)
    metrics, health = ServiceMetrics("storage"), Health()
    loop = storage_loop(
        settings,
        specs,
        group=group,
        options=options,
        metrics=metrics,
        health=health,
        group_instance_id=group_instance_id,
    )
    with hosted(settings, health, metrics.registry, loop.stop) as received:
        maintenance = Maintenance(
            open_store(settings),
            specs,
            interval_seconds=settings.maintain_interval_seconds,
        )
        maintenance.start()
        streams = [spec.name for spec in specs]
        log.info("started", service="storage", group=group, streams=streams)
        try:
            code = loop.run()
        finally:
            maintenance.close()
    log.info("stopped", service="storage", code=code, **metrics.totals())
    return exit_code(code, received)
