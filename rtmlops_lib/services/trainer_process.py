"""The trainer as a process."""

from __future__ import annotations

from collections.abc import Sequence

from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.require import require_models_extra
from rtmlops_lib.services.drift_reference import drift_reference
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.hosting import exit_code, hosted
from rtmlops_lib.services.trainer import Trainer
from rtmlops_lib.services.trainer_metrics import TrainerMetrics
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["run_trainer"]

log = get_logger(__name__)


def run_trainer(settings: Settings, specs: Sequence[StreamSpec]) -> int:
    """Train until SIGTERM or SIGINT; return the exit code."""
    require_models_extra()
    metrics, health = TrainerMetrics(), Health()
    trainer = Trainer(
        settings,
        specs,
        beside=lambda spec: drift_reference(
            spec, window_seconds=settings.monitor_window_seconds
        ),
        health=health,
        metrics=metrics,
    )
    streams = [spec.name for spec in specs]
    with hosted(settings, health, metrics.registry, trainer.stop) as received:
        log.info(
            "started",
            service="trainer",
            streams=streams,
            schedule=settings.train_schedule,
        )
        code = trainer.run()
    log.info("stopped", service="trainer", code=code)
    return exit_code(code, received)
