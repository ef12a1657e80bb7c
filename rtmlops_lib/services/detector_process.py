"""The detector as a process: with whatever models there are, at once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from rtmlops_lib.errors import UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.models.require import require_models_extra
from rtmlops_lib.services.detector import DETECTOR_NAME, detector_loop
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.hosting import exit_code, hosted
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.model_collector import ModelCollector
from rtmlops_lib.services.process import SWITCH_SECONDS
from rtmlops_lib.services.witnesses import (
    Witnesses,
    wait_for_witnesses,
    witnesses_of,
)
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["run_detector"]

log = get_logger(__name__)


def run_detector(
    settings: Settings,
    specs: Sequence[StreamSpec],
    *,
    group: str,
    options: LoopOptions,
    detector: str = DETECTOR_NAME,
    group_instance_id: str | None = None,
) -> int:
    """Score events until SIGTERM, SIGINT or idle; return the exit code."""
    sys.setswitchinterval(SWITCH_SECONDS)
    metrics, health = ServiceMetrics("detector"), Health()
    witnesses = _witnesses(settings, specs)
    metrics.registry.register(
        ModelCollector(
            {
                (stream, kind): models
                for stream, found in witnesses.items()
                for kind, models in found.followed.items()
            }
        )
    )
    loop = detector_loop(
        settings,
        specs,
        witnesses,
        group=group,
        detector=detector,
        options=options,
        metrics=metrics,
        health=health,
        group_instance_id=group_instance_id,
    )
    streams = [spec.name for spec in specs]
    with hosted(settings, health, metrics.registry, loop.stop) as received:
        log.info(
            "started",
            service="detector",
            group=group,
            streams=streams,
            detector=detector,
        )

        def waiting() -> bool:
            health.beat()
            return not received

        try:
            for one in witnesses.values():
                one.start()
            wait_for_witnesses(list(witnesses.values()), waiting)
            code = loop.run()
        finally:
            for one in witnesses.values():
                one.close()
    log.info("stopped", service="detector", code=code, **metrics.totals())
    return exit_code(code, received)


def _witnesses(
    settings: Settings, specs: Sequence[StreamSpec]
) -> Mapping[str, Witnesses]:
    try:
        require_models_extra()
    except UsageError as error:
        # Each series' own past needs none of them.
        log.warning("no_model_witnesses", error=error.message, remedy=error.remedy)
        return {}
    return witnesses_of(settings, specs)
