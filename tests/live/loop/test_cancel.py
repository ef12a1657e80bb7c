"""A training that nobody wants any more, and one that does not come to an end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtmlops_lib.models.names import detector_name
from rtmlops_lib.services import trainer as trainer_module
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.trainer import Trainer
from rtmlops_lib.services.trainer_metrics import TrainerMetrics
from rtmlops_lib.services.training_job import JOB_TAG
from rtmlops_lib.store import RetrainJob
from tests.support.loop_lab import HOUR, LoopLab, simulated
from tests.support.power_rows import START
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.slow]

SMALL = {"trees": 20}


def seen(lab: LoopLab, job: RetrainJob) -> RetrainJob:
    found = lab.store.retrain_jobs.get(job.id)
    assert found is not None
    return found


def ended(lab: LoopLab, job: RetrainJob) -> RetrainJob:
    return wait_until(
        lambda: lab.ended(job), timeout=120, every=0.2, what="the job ends"
    )


def says(lab: LoopLab, job: RetrainJob, *steps: str) -> None:
    """Wait until the job's worker is at one of these steps."""

    def found() -> bool:
        now = seen(lab, job)
        assert now.open, now
        return now.step.startswith(steps)

    wait_until(found, timeout=120, every=0.02, what=f"it says {steps}")


def left(lab: LoopLab, job: RetrainJob) -> None:
    """Wait until the trainer's thread has left the job."""
    wait_until(
        lambda: any(r["job"] == job.id for r in lab.logged("trainer", "training_left")),
        timeout=120,
        every=0.2,
        what="the trainer leaves it",
    )


def test_a_training_that_waits_for_rows_is_dropped(lab: LoopLab) -> None:
    lab.store.backfill([simulated(0, 2)])
    with lab.running("trainer"):
        job = lab.ask(change_point=(START + HOUR).isoformat(), settings=SMALL)
        says(lab, job, "waiting for rows after the change")
        assert lab.store.retrain_jobs.cancel(job.id, "not wanted") is not None
        left(lab, job)
        # The rows that it waited for come, and the trainer is free for others.
        lab.store.backfill([simulated(2, 34)])
        other = lab.ask(settings=SMALL)
        done = ended(lab, other)
    assert done.state == "succeeded", done.outcome
    assert (seen(lab, job).state, seen(lab, job).outcome) == ("cancelled", "not wanted")
    tags = [v.tags[JOB_TAG] for v in lab.registry.versions(lab.name)]
    assert tags == [other.id]
    assert lab.registry.aliases(lab.name) == {"champion": done.version}


def test_a_training_cancelled_while_it_fits_changes_nothing(lab: LoopLab) -> None:
    lab.store.backfill([simulated(0, 30)])
    with lab.running("trainer", RTMLOPS_TRAIN_ABANDONED_SECONDS="3"):
        job = lab.ask(settings={"trees": 250})
        says(lab, job, "splitting", "fitting", "measuring")
        assert lab.store.retrain_jobs.cancel(job.id, "not wanted") is not None
        left(lab, job)
    assert seen(lab, job).state == "cancelled"
    assert lab.registry.aliases(lab.name) == {}
    assert lab.store.model_events(lab.name).empty


def test_who_waits_for_rows_takes_no_others_place(
    lab: LoopLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "MAX_IN_HAND", 1)
    lab.store.backfill([simulated(0, 30)])
    hanging = Hanging()
    hanging.release.set()
    with training(lab, hanging):
        job = lab.ask(change_point=(START + 29 * HOUR).isoformat())
        says(lab, job, "waiting for rows after the change")
        other, _ = lab.store.retrain_jobs.request(
            detector_name(lab.settings, lab.spec), stream="datacenter", kind="anomaly"
        )
        assert other is not None
        assert ended(lab, other).state in ("succeeded", "refused")
        assert seen(lab, job).state == "running"


def test_waiting_ends_by_the_time_of_the_request(lab: LoopLab) -> None:
    """However often trainers were started meanwhile."""
    lab.store.backfill([simulated(0, 30)])
    job = lab.ask(change_point=(START + 29 * HOUR).isoformat())
    lab.sql(
        f"UPDATE {lab.settings.database_schema}.retrain_jobs "
        "SET requested_at = now() - interval '3 days'"
    )
    with training(lab, Hanging()):
        done = ended(lab, job)
    assert done.state == "failed"
    assert "came after the change" in done.outcome


def test_a_change_that_lies_ahead_is_refused(lab: LoopLab) -> None:
    lab.store.backfill([simulated(0, 1)])
    ahead = datetime.now(UTC) + timedelta(hours=1)
    job = lab.ask(change_point=ahead.isoformat())
    with training(lab, Hanging()):
        done = ended(lab, job)
    assert done.state == "failed"
    assert "lies ahead" in done.outcome


class Hanging:
    """Makes a drift reference, and does not come to an end until it is released."""

    def __init__(self) -> None:
        self.reached, self.release = threading.Event(), threading.Event()

    def __call__(self, *_: Any) -> dict[str, str]:
        self.reached.set()
        assert self.release.wait(250)
        return {}


@contextmanager
def training(lab: LoopLab, hanging: Hanging) -> Iterator[tuple[Trainer, list[int]]]:
    """Run a trainer on a thread; yield it, and where it puts its exit code."""
    settings = lab.settings.model_copy(update={"train_schedule": ""})
    trainer = Trainer(
        settings,
        [lab.spec],
        beside=lambda spec: hanging,
        health=Health(),
        metrics=TrainerMetrics(),
    )
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(trainer.run()))
    thread.start()
    try:
        yield trainer, codes
    finally:
        hanging.release.set()
        trainer.stop()
        thread.join(60)
        assert not thread.is_alive()


def let_expire(trainer: Trainer, seconds: float = 0.1) -> None:
    """Shorten the deadline now that the training is where it hangs."""
    trainer._settings = trainer._settings.model_copy(
        update={"train_timeout_seconds": seconds}
    )


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    def set_to(seconds: float) -> None:
        monkeypatch.setattr(trainer_module, "HUNG_SECONDS", seconds)

    return set_to


def test_a_training_that_takes_too_long_fails_and_the_trainer_goes_on(
    lab: LoopLab, patient: Callable[[float], None]
) -> None:
    patient(250)
    lab.store.backfill([simulated(0, 30)])
    hanging = Hanging()
    with training(lab, hanging) as (trainer, codes):
        job = lab.ask(settings=SMALL)
        assert hanging.reached.wait(120)
        let_expire(trainer)
        done = ended(lab, job)
        assert done.state == "failed"
        assert "did not end within 0.1 s" in done.outcome
        assert "calibrating what drift is held against" in done.outcome
        assert "RTMLOPS_TRAIN_TIMEOUT_SECONDS" in done.outcome
        # It comes to its next step after all, and leaves there.
        let_expire(trainer, 250)
        hanging.release.set()
        other = lab.ask(settings=SMALL)
        again = ended(lab, other)
        assert codes == []
    assert again.state == "succeeded", again.outcome
    assert seen(lab, job) == done
    tags = [v.tags[JOB_TAG] for v in lab.registry.versions(lab.name)]
    assert tags == [other.id]
    assert codes == [0]


def test_a_training_that_hangs_ends_the_trainer_which_hands_back_the_others(
    lab: LoopLab, patient: Callable[[float], None]
) -> None:
    patient(0.5)
    lab.store.backfill([simulated(0, 30)])
    hanging = Hanging()
    with training(lab, hanging) as (trainer, codes):
        job = lab.ask(settings=SMALL)
        assert hanging.reached.wait(120)
        other, _ = lab.store.retrain_jobs.request(
            detector_name(lab.settings, lab.spec), stream="datacenter", kind="anomaly"
        )
        assert other is not None
        says(lab, other, "waiting for another training")
        let_expire(trainer)
        wait_until(lambda: codes, timeout=120, what="the trainer ends")
    assert codes == [3]
    assert seen(lab, job).state == "failed"
    waiting = seen(lab, other)
    assert (waiting.state, waiting.detail["handed_back"]) == ("queued", 1)
    assert lab.registry.versions(lab.name) == []
