"""The monitor service: one watch a stream, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rtmlops_lib.errors import (
    ConfigurationFault,
    DependencyUnavailable,
    RtmlopsError,
)
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.services.backoff import CONFIGURATION_RETRY_SECONDS
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.monitor_metrics import MonitorMetrics
from rtmlops_lib.services.stream_monitor import StreamMonitor
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import StreamSpec

__all__ = ["Monitor"]

log = get_logger(__name__)

# SIGTERM must be answered within 10 s.
STOP_SECONDS = 8.0


class Monitor:
    """Looks at each stream in turn until it is told to stop.

    Parameters
    ----------
    settings : Settings
    specs : sequence of StreamSpec
        Each with a target.
    health : Health
    metrics : MonitorMetrics
    """

    def __init__(
        self,
        settings: Settings,
        specs: Sequence[StreamSpec],
        *,
        health: Health,
        metrics: MonitorMetrics,
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._poll_seconds = settings.monitor_poll_seconds
        self._stop = threading.Event()
        self._store = open_store(settings, application_name="rtmlops monitor")
        registry = ModelRegistry(settings.mlflow_tracking_uri)
        self._watches = [
            StreamMonitor(
                settings,
                spec,
                registry,
                self._store,
                metrics,
                stopping=self._stop,
                beat=health.beat,
            )
            for spec in specs
        ]

    def stop(self) -> None:
        """Ask it to return after the window in hand; from any thread."""
        self._stop.set()

    def run(self) -> int:
        """Watch until stopped; return the exit code.

        The work is on a thread of its own: a signal must not wait for a query.
        """
        thread = threading.Thread(target=self._work, name="monitor", daemon=True)
        thread.start()
        while thread.is_alive() and not self._stop.is_set():
            thread.join(0.5)
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            # Whatever it was at is done again by the next one.
            log.error("stopped_early", reason="a question to database or MLflow lasts")
            return DependencyUnavailable.exit_code
        return 0 if self._stop.is_set() else RtmlopsError.exit_code

    def _work(self) -> None:
        said: tuple[str, ...] = ()
        try:
            while not self._stop.is_set():
                self._health.beat()
                pause, said = self._turn(said)
                self._stop.wait(pause)
        finally:
            self._store.close()

    def _turn(self, said: tuple[str, ...]) -> tuple[float, tuple[str, ...]]:
        """Look at each stream once; return how long to wait, and what is wrong."""
        pause, reasons, behind = self._poll_seconds, [], False
        for watch in self._watches:
            try:
                why_not = watch.step()
                behind |= watch.behind
            except RtmlopsError as error:
                why_not = f"{watch.name}: {error}"
                if isinstance(error, ConfigurationFault):
                    pause = max(pause, CONFIGURATION_RETRY_SECONDS)
            except Exception as error:
                # One stream's broken row must not end the watch over the others.
                log.exception("watch_broken", model=watch.name)
                why_not = f"{watch.name}: internal error: {error!r}"
            if why_not is not None:
                reasons.append(why_not)
        now = tuple(reasons)
        if now and now != said:
            log.warning("not_ready", reasons=reasons)
        notes = [note for watch in self._watches for note in watch.notes]
        self._health.set(now, notes=tuple(notes))
        self._metrics.ready.labels("monitor").set(float(not now))
        return 0.0 if behind else pause, now
