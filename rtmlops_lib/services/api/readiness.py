"""Whether the API's dependencies answer, asked once for all who want to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.store import JobState

if TYPE_CHECKING:
    from rtmlops_lib.services.api.context import ApiContext

__all__ = ["Readiness"]

log = get_logger(__name__)

KEPT_SECONDS = 1.0
JOBS_KEPT_SECONDS = 5.0


class Readiness:
    """Asks the database and MLflow, not more often than anybody needs to know.

    Parameters
    ----------
    context : ApiContext
    """

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._jobs_asked = float("-inf")
        self._reasons: tuple[str, ...] = ("starting",)

    async def reasons(self) -> tuple[str, ...]:
        """Return what stands in the way; nothing where all is well."""
        async with self._lock:
            if time.monotonic() - self._asked > KEPT_SECONDS:
                found = await asyncio.gather(
                    self._why_not("the database", self._ask_database),
                    self._why_not("MLflow", self._ask_registry),
                )
                reasons = tuple(reason for reason in found if reason)
                if reasons != self._reasons:
                    log.info("readiness", ready=not reasons, reasons=list(reasons))
                self._reasons, self._asked = reasons, time.monotonic()
        metrics = self._context.metrics
        metrics.ready.labels(metrics.service).set(not self._reasons)
        return self._reasons

    async def count_jobs(self) -> None:
        """Bring the gauge of jobs up to date; it vanishes with the database."""
        async with self._lock:
            if time.monotonic() - self._jobs_asked < JOBS_KEPT_SECONDS:
                return
            self._jobs_asked = time.monotonic()
            metrics = self._context.metrics

            def read() -> dict[tuple[str, JobState], int]:
                with self._context.probe_stores.borrowed() as store:
                    return store.retrain_jobs.counts()

            try:
                counts = await self._context.probes.run(read)
            except RtmlopsError:
                metrics.jobs.clear()
                return
            metrics.jobs.clear()
            for model in self._context.models:
                for state in ("queued", "running"):
                    metrics.jobs.labels(metrics.service, model, state).set(0)
            for (model, state), count in counts.items():
                metrics.jobs.labels(metrics.service, model, state).set(count)

    async def _why_not(self, name: str, ask: Callable[[], None]) -> str | None:
        try:
            await self._context.probes.run(ask)
        except RtmlopsError as error:
            # Whoever asks needs no token: where things are is in the log alone.
            log.debug("not_ready", dependency=name, error=error.message)
            return f"{name} does not answer; the log and 'rtmlops doctor' say more"
        return None

    def _ask_database(self) -> None:
        with self._context.probe_stores.borrowed() as store:
            store.answers(2.5)

    def _ask_registry(self) -> None:
        self._context.registry.aliases(next(iter(self._context.models), "none"))
