"""One training that was asked for, from its rows to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rtmlops_lib.errors import DependencyUnavailable, RtmlopsError, UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.aliases import (
    CHALLENGER,
    CHAMPION,
    Move,
    complete_moves,
    move_aliases,
)
from rtmlops_lib.models.decide import REFUSED
from rtmlops_lib.models.errors import TooFewRows
from rtmlops_lib.models.forest_pipeline import promote_forest, train_detector_model
from rtmlops_lib.models.gate import GateReport
from rtmlops_lib.models.pipeline import Beside, promote_power, train_power_model
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.models.rows import rows_of_store
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.services.backoff import Backoff
from rtmlops_lib.store import JobState, RetrainJob
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

__all__ = ["JOB_TAG", "JobResult", "TrainingJob", "TrainingLimits"]

log = get_logger(__name__)

# By this tag a worker finds what one before it registered for the same job.
JOB_TAG = "retrain_job"
# Clocks differ, and events may be ahead of them.
AHEAD = timedelta(minutes=10)
# A job's option, and a version's tag: since when the target behaves as it does now.
CHANGE_POINT = "change_point"
WAIT_SECONDS = 5.0
TURN_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 15.0
# A registry that answers and then takes no files must not be fed for ever.
MAX_FITS = 5


class _Interrupted(Exception):
    """The trainer stops, or the job is not ours any more."""


@dataclass(frozen=True, slots=True)
class TrainingLimits:
    """How long a job may take in what it cannot hasten.

    Parameters
    ----------
    lookback_seconds : float
        How far back rows are read where the job names no change point.
    after_change_hours : float
        How long the rows after a change point must span; at least what the model's
        own settings demand of any rows.
    rows_seconds : float
        How long a training after a change point waits for them, from when it was asked
        for.
    outage_seconds : float
        How long MLflow or the database may be away.
    """

    lookback_seconds: float = 7 * 86_400.0
    after_change_hours: float = 30.0
    rows_seconds: float = 2 * 86_400.0
    outage_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended."""

    state: JobState
    outcome: str
    version: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


class TrainingJob:
    """Carries one job out; whatever is away meanwhile is asked again.

    Parameters
    ----------
    job : RetrainJob
    spec : StreamSpec
        Of its stream.
    registry : ModelRegistry
    open_store : callable
        Returns a store of this job's own.
    one_at_a_time : threading.Lock
        Held while a model is fitted.
    beside : callable, optional
        Makes the drift reference; see ``train_power_model``.
    limits : TrainingLimits
    stopping : threading.Event
        Set when this job shall be left: at its next step it is.
    on_registered : callable
        Told the new version before its fate is decided; False when the job is no
        longer ours.

    Attributes
    ----------
    step : str
        What it does just now.
    working_since : float or None
        On the monotonic clock; None while it waits: for rows, for its turn, for what
        is away.
    waiting_for_rows : bool
        It may do so for days, and costs next to nothing meanwhile.
    """

    def __init__(
        self,
        job: RetrainJob,
        spec: StreamSpec,
        registry: ModelRegistry,
        open_store: Callable[[], PostgresStore],
        *,
        one_at_a_time: threading.Lock,
        beside: Beside | None,
        limits: TrainingLimits,
        stopping: threading.Event,
        on_registered: Callable[[int], bool],
    ) -> None:
        self.job = job
        self.step = "starting"
        self.working_since: float | None = None
        self.waiting_for_rows = False
        self._spec = spec
        self._registry = registry
        self._open_store = open_store
        self._one_at_a_time = one_at_a_time
        self._beside = beside
        self._limits = limits
        self._stopping = stopping
        self._on_registered = on_registered
        self._again = job.attempts > 1
        self._away_since: float | None = None
        self._fits = 0
        self._changed_at: str | None = None

    def run(self) -> JobResult | None:
        """Return how it ended; None when it was left for another worker."""
        store = self._open_store()
        try:
            return self._through_outages(store)
        except _Interrupted:
            return None
        finally:
            store.close()

    def _through_outages(self, store: PostgresStore) -> JobResult:
        backoff = Backoff(first=0.5, cap=BACKOFF_CAP_SECONDS)
        while True:
            try:
                return self._attempt(store)
            except DependencyUnavailable as error:
                now = time.monotonic()
                self._away_since = self._away_since or now
                away = now - self._away_since
                if away > self._limits.outage_seconds or self._fits >= MAX_FITS:
                    return JobResult(
                        "failed",
                        f"gave up after {self._fits} trainings and {away:.0f} s "
                        f"without an answer: {error}",
                    )
                log.warning("training_interrupted", job=self.job.id, error=str(error))
                self._say(f"waiting: {error.message}")
                self._again = True
                self._wait(backoff.next())
            except RtmlopsError as error:
                return JobResult("failed", str(error))
            except _Interrupted:
                raise
            except Exception as error:
                log.exception("training_broken", job=self.job.id)
                return JobResult("failed", f"internal error: {error!r}")

    def _attempt(self, store: PostgresStore) -> JobResult:
        # Asked before hours of work, not after; and what a worker before this one began
        # to move is where it should be.
        self._registry.aliases(self.job.model_name)
        complete_moves(self._registry, store, self.job.model_name)
        found = self._registered_before() if self._again else None
        if found is not None:
            with self._working():
                return self._settle(store, found)
        try:
            since = self._first_instant(store)
        finally:
            self.waiting_for_rows = False
        self._away_since = None
        with self._turn(), self._working():
            self._say("reading rows")
            self._fits += 1
            return self._train(store, since)

    def _registered_before(self) -> ModelVersion | None:
        job = self.job
        self._say("looking for a version of a former attempt")
        for version in self._registry.versions(job.model_name):
            if version.tags.get(JOB_TAG) == job.id:
                return version
        return None

    def _settle(self, store: PostgresStore, found: ModelVersion) -> JobResult:
        """Decide about a version whose worker ended before it could."""
        self._note_version(found)
        number = found.version
        detail = {"resumed": True}
        if CHAMPION in found.aliases:
            return JobResult("succeeded", "promoted before", number, detail)
        if self.job.options.get("challenger", False):
            if CHALLENGER not in found.aliases:
                decide = Move.shadow(number, reason="as was asked for")
                move_aliases(self._registry, store, self.job.model_name, decide)
            return JobResult("succeeded", "challenger, as asked for", number, detail)
        if REFUSED in found.tags:
            return JobResult("refused", found.tags[REFUSED], number, detail)
        self._say("running the gate for the version of a former attempt")
        run_gate = promote_power if self.job.kind == "power" else promote_forest
        gate, _ = run_gate(
            self._registry, store, self.job.model_name, self._spec, number
        )
        return _judged(gate, number, gate.passed, detail)

    def _first_instant(self, store: PostgresStore) -> datetime:
        """Return where the rows begin; after a change, once there are enough."""
        text = self.job.options.get(CHANGE_POINT)
        if text is None:
            return self._usual_first_instant(store)
        since, self._changed_at = _moment(str(text)), str(text)
        settings = self._settings()
        newest = store.newest_time(self._spec) or since
        if since > max(newest, datetime.now(UTC)) + AHEAD:
            raise UsageError(
                f"the change point {text} lies ahead: the newest event is of "
                f"{newest:%Y-%m-%d %H:%M}Z",
                remedy="give the moment at which the error grew",
            )
        wanted = max(settings.min_hours, self._limits.after_change_hours)
        limit = timedelta(seconds=self._limits.rows_seconds)
        while True:
            rows, seconds = store.rows_since(
                self._spec, since=since, at_most=settings.min_rows
            )
            # It answers: what was away before is another matter.
            self._away_since = None
            hours = seconds / 3_600
            if rows >= settings.min_rows and hours >= wanted:
                return since
            if datetime.now(UTC) - self.job.requested_at > limit:
                raise TooFewRows(
                    f"{rows:,} rows over {hours:.1f} h came after the change, "
                    f"{settings.min_rows:,} over {wanted:g} h are needed",
                    remedy="ask again later, or train on older rows as well",
                )
            self._say(
                f"waiting for rows after the change: {rows:,} of {settings.min_rows:,},"
                f" {hours:.1f} of {wanted:g} h"
            )
            self.waiting_for_rows = True
            self._wait(min(WAIT_SECONDS, max(0.5, self._limits.rows_seconds / 100)))

    def _usual_first_instant(self, store: PostgresStore) -> datetime:
        """Return where the usual rows begin: never before the last known change."""
        newest = store.newest_time(self._spec)
        if newest is None:
            raise TooFewRows(
                f"stream {self._spec.name!r} has no stored events",
                remedy="run 'rtmlops consume storage'",
            )
        since = newest - timedelta(seconds=self._limits.lookback_seconds)
        champion = self._registry.aliases(self.job.model_name).get(CHAMPION)
        if champion is None:
            return since
        # Else tomorrow's model would learn yesterday's world again.
        tags = self._registry.version(self.job.model_name, champion).tags
        if CHANGE_POINT in tags:
            self._changed_at = tags[CHANGE_POINT]
            since = max(since, _moment(self._changed_at))
        return since

    def _train(self, store: PostgresStore, since: datetime) -> JobResult:
        job, power = self.job, self.job.kind == "power"
        tags = {JOB_TAG: job.id, "trigger": job.trigger}
        if self._changed_at is not None:
            tags[CHANGE_POINT] = self._changed_at
        frame, flagged = rows_of_store(
            store,
            self._spec,
            since=since,
            fields=None if power else self._spec.numeric_fields,
            on_rows=lambda count: self._say(f"reading rows: {count:,}"),
        )
        promote = not job.options.get("challenger", False)
        if power:
            outcome = train_power_model(
                self._registry,
                store,
                job.model_name,
                self._spec,
                frame,
                flagged=flagged,
                settings=self._settings(),
                promote=promote,
                beside=self._beside,
                tags=tags,
                on_step=self._say,
                on_registered=self._note_version,
            )
            metrics, rows = outcome.trained.metrics, outcome.trained.dataset.rows
            version, gate = outcome.version.version, outcome.gate
            promoted = outcome.promoted
        else:
            forest = train_detector_model(
                self._registry,
                store,
                job.model_name,
                self._spec,
                frame,
                flagged=flagged,
                promote=promote,
                tags=tags,
                on_step=self._say,
                on_registered=self._note_version,
            )
            metrics, rows = forest.metrics, forest.dataset.rows
            version, gate, promoted = (
                forest.version.version,
                forest.gate,
                forest.promoted,
            )
        detail = {"rows": rows, "metrics": metrics}
        return _judged(gate, version, promoted or not promote, detail)

    def _settings(self) -> PowerSettings:
        given = dict(self.job.options.get("settings") or {})
        if "gate" in given:
            raise UsageError(
                "a training cannot bring a gate of its own",
                remedy="leave 'gate' out of the settings",
            )
        try:
            return PowerSettings.model_validate(given)
        except ValueError as error:
            raise UsageError(f"settings of the training: {error}") from error

    def _note_version(self, version: ModelVersion) -> None:
        # Written down before any alias moves: else two workers could both decide.
        if not self._on_registered(version.version):
            raise _Interrupted

    def _say(self, step: str) -> None:
        if self._stopping.is_set():
            raise _Interrupted
        self.step = step

    def _wait(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _Interrupted

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._say("waiting for another training to end")
        while not self._one_at_a_time.acquire(timeout=TURN_SECONDS):
            self._say("waiting for another training to end")
        try:
            yield
        finally:
            self._one_at_a_time.release()

    @contextmanager
    def _working(self) -> Iterator[None]:
        self.working_since = time.monotonic()
        try:
            yield
        finally:
            self.working_since = None


def _judged(
    gate: GateReport, version: int, went_through: bool, detail: Mapping[str, Any]
) -> JobResult:
    return JobResult(
        "succeeded" if went_through else "refused",
        gate.summary,
        version,
        {**detail, "gate": gate.to_dict()},
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"the change point {text!r} is no time",
            remedy="write it as 2025-09-30T12:00:00Z",
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
