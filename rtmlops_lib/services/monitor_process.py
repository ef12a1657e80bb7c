"""The monitor as a process."""

from __future__ import annotations

from collections.abc import Sequence

from rtmlops_lib.errors import UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.require import require_models_extra
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.hosting import exit_code, hosted
from rtmlops_lib.services.monitor import Monitor
from rtmlops_lib.services.monitor_metrics import MonitorMetrics
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["run_monitor"]

log = get_logger(__name__)


def run_monitor(settings: Settings, specs: Sequence[StreamSpec]) -> int:
    """Watch until SIGTERM or SIGINT; return the exit code.

    Raises
    ------
    UsageError
        For a stream without a target.
    """
    require_models_extra()
    for spec in specs:
        if spec.target is None:
            raise UsageError(
                f"stream {spec.name!r} has no target, so nobody predicts it",
                remedy="name one in its spec: 'target: <a number field>'",
            )
    metrics, health = MonitorMetrics(), Health()
    monitor = Monitor(settings, specs, health=health, metrics=metrics)
    with hosted(settings, health, metrics.registry, monitor.stop) as received:
        log.info("started", service="monitor", streams=[spec.name for spec in specs])
        code = monitor.run()
    log.info("stopped", service="monitor", code=code)
    return exit_code(code, received)
