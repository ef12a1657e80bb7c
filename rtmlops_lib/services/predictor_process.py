"""The predictor as a process: it waits for its first model, then consumes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.logs import get_logger
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.models.hot_models import HotModels
from rtmlops_lib.models.require import require_models_extra
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.hosting import exit_code, hosted
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.model_collector import ModelCollector
from rtmlops_lib.services.predictor import hot_models, predictor_loop
from rtmlops_lib.services.process import SWITCH_SECONDS
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["run_predictor"]

log = get_logger(__name__)


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
    metrics.registry.register(
        ModelCollector({(stream, "power"): one for stream, one in models.items()})
    )
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
    streams = [spec.name for spec in specs]
    with hosted(settings, health, metrics.registry, loop.stop) as received:
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
    log.info("stopped", service="predictor", code=code, **metrics.totals())
    return exit_code(code, received)


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
