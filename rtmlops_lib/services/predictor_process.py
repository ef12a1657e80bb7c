"""The predictor as a process: it waits for its first model, then consumes."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.logs import get_logger
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.models.hot_models import HotModels
from rtmlops_lib.models.require import require_models_extra
from rtmlops_lib.services.health import Health, HealthServer
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.predictor import hot_models, predictor_loop
from rtmlops_lib.services.process import SIGINT_EXIT, SWITCH_SECONDS
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["ModelCollector", "run_predictor"]

log = get_logger(__name__)


class ModelCollector(Collector):
    """Shows which versions serve, and how the registry does, at each scrape."""

    def __init__(self, models: Mapping[str, HotModels[Any]]) -> None:
        self._models = models

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the gauges; called by the metrics server's thread."""
        serving = GaugeMetricFamily(
            "rtmlops_model_version",
            "Version that serves in a role.",
            labels=["stream", "role"],
        )
        texts = {
            "rtmlops_registry_up": "1 while the model registry answers.",
            "rtmlops_model_from_disk": "1 while the last verified champion serves "
            "because the registry was away at the start.",
            "rtmlops_model_loads": "Versions taken into service since the start.",
            "rtmlops_model_refusals": "Versions refused since the start.",
        }
        others = {
            name: GaugeMetricFamily(name, text, labels=["stream"])
            for name, text in texts.items()
        }
        for stream, models in self._models.items():
            for one in models.snapshot:
                serving.add_metric([stream, one.role], one.version.version)
            state = models.state
            values = (state.registry_up, state.from_disk, state.loads, state.refusals)
            for gauge, value in zip(others.values(), values, strict=True):
                gauge.add_metric([stream], float(value))
        return [serving, *others.values()]


def run_predictor(
    settings: Settings,
    specs: Sequence[StreamSpec],
    *,
    group: str,
    options: LoopOptions,
    group_instance_id: str | None = None,
) -> int:
    """Predict until SIGTERM, SIGINT or idle; return the exit code."""
    require_models_extra()
    sys.setswitchinterval(SWITCH_SECONDS)
    metrics, health = ServiceMetrics("predictor"), Health()
    models = hot_models(settings, specs)
    metrics.registry.register(ModelCollector(models))
    loop = predictor_loop(
        settings,
        specs,
        models,
        group=group,
        options=options,
        metrics=metrics,
        health=health,
        group_instance_id=group_instance_id,
    )
    received: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        received.append(number)
        loop.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    server = None
    if settings.metrics_port:
        server = HealthServer(
            health,
            metrics.registry,
            host=settings.metrics_host,
            port=settings.metrics_port,
        )
        server.start()
    streams = [spec.name for spec in specs]
    log.info("started", service="predictor", group=group, streams=streams)
    try:
        for one in models.values():
            one.start()
        limit = None if options.until_idle is None else options.max_wait
        why_not = _wait_for_models(models, health, received, limit)
        if why_not is not None:
            log.error("stopped_early", reason=why_not)
            return DependencyUnavailable.exit_code
        code = 0 if received else loop.run()
    finally:
        for one in models.values():
            one.close()
        if server is not None:
            server.close()
    log.info("stopped", service="predictor", code=code)
    return SIGINT_EXIT if signal.SIGINT in received and code == 0 else code


def _wait_for_models(
    models: Mapping[str, HotModels[Any]],
    health: Health,
    received: Sequence[int],
    limit: float | None,
) -> str | None:
    """Wait until each has a champion, not ready meanwhile; return what made us stop.

    Before the group is joined: a member that cannot predict would keep partitions from
    one that can.
    """
    begun, said = time.monotonic(), ""
    while not received:
        missing = [one for one in models.values() if not one.wait(0)]
        if not missing:
            return None
        health.beat()
        why_not = "; ".join(one.state.problem for one in missing)
        health.set((why_not,))
        if why_not != said:
            log.warning("waiting_for_model", reason=why_not)
            said = why_not
        if limit is not None and time.monotonic() - begun > limit:
            return f"no model after {limit:g} s: {why_not}"
        missing[0].wait(0.2)
    return None
