"""The trainer service: a daily schedule, and a queue that others fill."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.names import detector_name, model_name
from rtmlops_lib.models.pipeline import Beside
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.train_schedule import TrainSchedule
from rtmlops_lib.services.trainer_metrics import TrainerMetrics
from rtmlops_lib.services.training_job import JobResult, TrainingJob, TrainingLimits
from rtmlops_lib.settings import Settings
from rtmlops_lib.store import RetrainJob
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import StreamSpec

__all__ = ["Trainer"]

log = get_logger(__name__)

POLL_SECONDS = 1.0
# One is fitted at a time, the others wait for their turn; what waits for rows does not
# count, and of that there is one a model at most.
MAX_IN_HAND = 4
# SIGTERM must be answered within 10 s, also while the database is silent. Its handler
# runs when the call that is under way has ended; what a training's step takes follows,
# and the last is for writing down what is left.
BOOK_SECONDS = 3.5
STOP_SECONDS = 6.0
WRITE_SECONDS = 2.0
# Two trainers keep the same hour; the second finds the first one's job or its end.
SCHEDULE_COOLDOWN_SECONDS = 300.0
HANDED_BACK = "handed back by a trainer that was stopped"
# A training that took too long is told to leave at its next step. One that does not
# come to it hangs: nothing but the end of the process ends its thread.
HUNG_SECONDS = 30.0
HUNG_EXIT = 3


@dataclass
class _InHand:
    job: RetrainJob
    work: TrainingJob
    stopping: threading.Event
    thread: threading.Thread
    begun: float
    told: str = ""
    last_beat: float = 0.0
    result: JobResult | None = None
    done: bool = False
    # Not ours any more, whatever its thread still does; since when, where it took
    # too long.
    lost: bool = False
    expired: float | None = None


class Trainer:
    """Takes jobs, says that it lives, and writes down how each ended.

    All calls to the queue come from ``run``'s thread, each training runs on one of
    its own: a heartbeat waits for no fit, no registry and no read of a week's rows.
    A job that was cancelled, or is another worker's, is dropped with its next
    heartbeat; one that works for longer than ``train_timeout_seconds`` has failed.
    Its thread leaves at its next step. Where it does not come to one, the trainer
    hands back its other jobs and ends with exit code 3: a supervisor starts it anew.

    Parameters
    ----------
    settings : Settings
    specs : sequence of StreamSpec
        Jobs of other streams fail, by name.
    beside : callable
        Given a spec, returns what makes the drift reference.
    health : Health
    metrics : TrainerMetrics
    """

    def __init__(
        self,
        settings: Settings,
        specs: Sequence[StreamSpec],
        *,
        beside: Callable[[StreamSpec], Beside | None] = lambda spec: None,
        health: Health,
        metrics: TrainerMetrics,
    ) -> None:
        self._settings = settings
        self._specs = {spec.name: spec for spec in specs}
        self._beside = beside
        self._health = health
        self._metrics = metrics
        self._worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._schedule = TrainSchedule(settings.train_schedule)
        self._registry = ModelRegistry(settings.mlflow_tracking_uri)
        self._store = open_store(
            settings, application_name="rtmlops trainer", book_seconds=BOOK_SECONDS
        )
        self._jobs = self._store.retrain_jobs
        self._stop = threading.Event()
        self._stopped_at = float("inf")
        self._one_at_a_time = threading.Lock()
        self._in_hand: list[_InHand] = []
        self._wanted: dict[str, tuple[str, str]] = {}
        self._caught_up = False
        self._beat_seconds = min(5.0, settings.train_abandoned_seconds / 4)

    def stop(self) -> None:
        """Ask it to hand back what is in hand and return; from any thread."""
        self._stopped_at = min(self._stopped_at, time.monotonic())
        self._stop.set()
        self._leave_all()

    def run(self) -> int:
        """Work until stopped; return the exit code."""
        self._schedule.start()
        try:
            while not self._stop.is_set():
                self._health.beat()
                try:
                    self._turn()
                    self._say_ready(())
                except RtmlopsError as error:
                    self._say_ready((str(error),))
                    self._stop.wait(POLL_SECONDS)
                if self._hangs():
                    return max(HUNG_EXIT, self._hand_back())
                self._stop.wait(POLL_SECONDS)
            return self._hand_back()
        finally:
            self._schedule.close()
            self._store.close()

    def _turn(self) -> None:
        # In this order: what is ours must not look abandoned to ourselves.
        self._beat()
        self._expire()
        self._finish()
        while self._busy() < MAX_IN_HAND and not self._stop.is_set():
            job = self._jobs.take(
                self._worker,
                abandoned_seconds=self._settings.train_abandoned_seconds,
            )
            if job is None:
                break
            self._begin(job)
        self._metrics.running.set(len(self._in_hand))
        # Last: one stream's fault must not hold up the others' jobs.
        self._heed_schedule()

    def _busy(self) -> int:
        return sum(not one.work.waiting_for_rows for one in self._in_hand)

    # -- the queue ----------------------------------------------------------------

    def _begin(self, job: RetrainJob) -> None:
        log.info(
            "training_taken",
            job=job.id,
            model=job.model_name,
            trigger=job.trigger,
            attempt=job.attempts,
        )
        refusal = self._cannot(job)
        if refusal is not None:
            self._jobs.finish(job, "failed", refusal)
            self._count(job, "failed", refusal)
            return
        one: _InHand
        stopping = threading.Event()
        work = TrainingJob(
            job,
            self._specs[job.stream],
            self._registry,
            lambda: open_store(self._settings, application_name="rtmlops training"),
            one_at_a_time=self._one_at_a_time,
            beside=self._beside(self._specs[job.stream]),
            limits=TrainingLimits(
                after_change_hours=self._settings.train_after_change_hours,
                rows_seconds=self._settings.train_wait_for_rows_seconds,
                outage_seconds=self._settings.train_outage_seconds,
            ),
            stopping=stopping,
            on_registered=lambda version: self._registered(one, version),
        )

        def run() -> None:
            try:
                one.result = work.run()
            except Exception as error:
                log.exception("training_broken", job=job.id)
                one.result = JobResult("failed", f"internal error: {error!r}")
            finally:
                one.done = True

        thread = threading.Thread(target=run, name=f"train-{job.id[:8]}", daemon=True)
        one = _InHand(job, work, stopping, thread, begun=time.monotonic())
        one.last_beat = one.begun
        self._in_hand.append(one)
        thread.start()

    def _cannot(self, job: RetrainJob) -> str | None:
        if job.vanished >= self._settings.train_attempts:
            return (
                f"{job.vanished} workers began it and were not heard of again; "
                "look into their logs, memory first"
            )
        if job.stream not in self._specs:
            return (
                f"this trainer knows no stream {job.stream!r}; start one with "
                f"'rtmlops trainer --stream {job.stream}'"
            )
        known = self._models().get(job.model_name)
        if known != (job.stream, job.kind):
            return (
                f"model {job.model_name!r} of kind {job.kind!r} is none of stream "
                f"{job.stream!r}; there are {', '.join(self._models())}"
            )
        return None

    def _beat(self) -> None:
        now = time.monotonic()
        for one in self._in_hand:
            step = one.work.step
            if one.done or one.lost:
                continue
            if step == one.told and now - one.last_beat < self._beat_seconds:
                continue
            if not self._jobs.beat(one.job, step[:500]):
                self._lose(one)
                continue
            one.told, one.last_beat = step, now

    def _lose(self, one: _InHand) -> None:
        """Drop a job that was cancelled, or that another worker has by now."""
        one.lost = True
        one.stopping.set()
        seen = self._jobs.get(one.job.id)
        if seen is not None and seen.state == "cancelled":
            self._count(one.job, seen.state, seen.outcome)
        else:
            log.warning("training_lost", job=one.job.id, step=one.work.step)

    def _expire(self) -> None:
        """Let jobs fail that work for too long."""
        limit, now = self._settings.train_timeout_seconds, time.monotonic()
        for one in self._in_hand:
            since, step = one.work.working_since, one.work.step
            if one.done or one.lost or since is None or now - since <= limit:
                continue
            outcome = (
                f"the training did not end within {limit:g} s, the last it did was: "
                f"{step}; see the trainer's log, or raise RTMLOPS_TRAIN_TIMEOUT_SECONDS"
            )
            if not self._jobs.finish(one.job, "failed", outcome):
                self._lose(one)
                continue
            self._count(one.job, "failed", outcome)
            one.lost, one.expired = True, now
            one.stopping.set()

    def _hangs(self) -> bool:
        """Return whether a training that has to leave comes to no further step."""
        for one in self._in_hand:
            if one.done or one.expired is None:
                continue
            if time.monotonic() - one.expired > HUNG_SECONDS:
                log.error(
                    "training_hangs",
                    job=one.job.id,
                    step=one.work.step,
                    remedy="this trainer ends, and is to be started again",
                )
                return True
        return False

    def _registered(self, one: _InHand, version: int) -> bool:
        # From the training's thread: the queue's connection is one call at a time.
        if one.lost or self._stop.is_set():
            return False
        return self._jobs.registered(one.job, version)

    def _finish(self) -> None:
        """Write down how trainings ended; what cannot be written yet stays."""
        for one in [one for one in self._in_hand if one.done]:
            result = one.result
            if one.lost:
                log.info("training_left", job=one.job.id, step=one.work.step)
            elif result is None:
                if not self._jobs.hand_back(one.job, HANDED_BACK):
                    self._lose(one)
            elif self._jobs.finish(
                one.job,
                result.state,
                result.outcome,
                version=result.version,
                detail=result.detail,
            ):
                self._count(one.job, result.state, result.outcome)
                taken = time.monotonic() - one.begun
                self._metrics.seconds.labels(one.job.model_name).set(taken)
            else:
                self._lose(one)
            self._in_hand.remove(one)

    def _count(self, job: RetrainJob, state: str, outcome: str) -> None:
        self._metrics.jobs.labels(job.model_name, job.trigger, state).inc()
        log.info("training_ended", job=job.id, state=state, outcome=outcome)

    # -- the schedule -------------------------------------------------------------

    def _heed_schedule(self) -> None:
        now = datetime.now(UTC)
        if not self._caught_up:
            self._catch_up(now)
            self._caught_up = True
        if self._schedule.due():
            self._wanted = dict(self._models())
        soon = self._schedule.next_after(now)
        if soon is not None:
            self._metrics.next_schedule.set(soon.timestamp())
        failed: RtmlopsError | None = None
        for name, (stream, kind) in list(self._wanted.items()):
            if self._stop.is_set():
                break
            try:
                self._ask(name, stream, kind)
            except RtmlopsError as error:
                log.warning("schedule_failed", model=name, error=str(error))
                failed = error
            else:
                del self._wanted[name]
        if failed is not None:
            raise failed

    def _ask(self, name: str, stream: str, kind: str) -> None:
        if self._store.has_events(self._specs[stream]):
            self._jobs.request(
                name,
                stream=stream,
                kind=kind,
                trigger="schedule",
                reason=f"as RTMLOPS_TRAIN_SCHEDULE says: "
                f"{self._settings.train_schedule}",
                requested_by="trainer",
                cooldown_seconds=SCHEDULE_COOLDOWN_SECONDS,
            )

    def _catch_up(self, now: datetime) -> None:
        """Ask for what was due while no trainer ran."""
        for name, known in self._models().items():
            for job in self._jobs.newest(model_name=name, trigger="schedule", limit=1):
                due = self._schedule.next_after(job.requested_at)
                if due is not None and due < now:
                    self._wanted[name] = known

    def _models(self) -> Mapping[str, tuple[str, str]]:
        """Return stream and kind by model's name."""
        found = {}
        for spec in self._specs.values():
            if spec.target is not None:
                found[model_name(self._settings, spec)] = (spec.name, "power")
            if spec.watched and spec.numeric_fields:
                found[detector_name(self._settings, spec)] = (spec.name, "anomaly")
        return found

    # -- the end ------------------------------------------------------------------

    def _hand_back(self) -> int:
        """Let each training come to the end of its step; put back what is left."""
        self._leave_all()
        end = min(self._stopped_at, time.monotonic()) + STOP_SECONDS
        for one in self._in_hand:
            one.thread.join(max(0.0, end - WRITE_SECONDS - time.monotonic()))
        self._jobs = self._jobs.within(max(0.5, end - time.monotonic()))
        try:
            self._finish()
            for one in [one for one in self._in_hand if not one.lost]:
                self._jobs.hand_back(one.job, HANDED_BACK)
        except RtmlopsError as error:
            # They are taken over all the same, once their heartbeats are old.
            jobs = [one.job.id for one in self._in_hand]
            log.error("trainings_not_handed_back", jobs=jobs, reason=str(error))
            return 3
        return 0

    def _leave_all(self) -> None:
        for one in tuple(self._in_hand):
            one.stopping.set()

    def _say_ready(self, reasons: tuple[str, ...]) -> None:
        if reasons and self._health.ready:
            log.warning("not_ready", reasons=reasons)
        self._health.set(reasons)
        self._metrics.ready.labels("trainer").set(float(not reasons))
