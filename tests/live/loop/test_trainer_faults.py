"""The trainer, with what it needs taken away in the middle of a job."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.services.drift_reference import drift_reference
from rtmlops_lib.services.training_job import JOB_TAG, TrainingJob, TrainingLimits
from rtmlops_lib.settings import Settings
from rtmlops_lib.stack._pg_binaries import embedded_binaries
from rtmlops_lib.store import RetrainJob
from rtmlops_lib.store.factory import open_store
from tests.faults.proxy import StallProxy
from tests.support.loop_lab import LoopLab, simulated
from tests.support.mlflow_server import MlflowServer
from tests.support.stacks import scratch_postgres
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.faults, pytest.mark.slow]

HOURS = 30.0
# So many that a trainer, which says once a second where it is, says that it fits them.
LONG = {"trees": 250}
SOON = {"RTMLOPS_TRAIN_ABANDONED_SECONDS": "3"}


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.fixture
def filled(lab: LoopLab) -> LoopLab:
    lab.store.backfill([simulated(0, HOURS)])
    return lab


def ended(lab: LoopLab, job: RetrainJob, timeout: float = 200) -> RetrainJob:
    return wait_until(
        lambda: lab.ended(job), timeout=timeout, every=0.2, what="the job ends"
    )


def under_way(lab: LoopLab, job: RetrainJob) -> RetrainJob:
    """Return the job once its training has left the first step behind."""

    def found() -> RetrainJob | None:
        now = lab.store.retrain_jobs.get(job.id)
        assert now is not None and now.open, now
        fitting = now.step.startswith(("splitting", "fitting", "measuring"))
        return now if fitting else None

    return wait_until(found, timeout=120, every=0.02, what="it fits a model")


class Dying(ModelRegistry):
    """Dies between the plan of a promotion and the first alias."""

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        raise Killed


def until_killed(
    lab: LoopLab,
    job: RetrainJob,
    registry: ModelRegistry,
    on_registered: Callable[[int], bool],
) -> None:
    """Work at a job as a trainer that is killed."""
    work = TrainingJob(
        job,
        lab.spec,
        registry,
        lambda: open_store(lab.settings),
        one_at_a_time=threading.Lock(),
        beside=drift_reference(lab.spec, window_seconds=3_600),
        limits=TrainingLimits(),
        stopping=threading.Event(),
        on_registered=on_registered,
    )
    with pytest.raises(Killed):
        work.run()


def dies(version: int) -> bool:
    raise Killed


def registered_for(lab: LoopLab, job: RetrainJob) -> list[int]:
    versions = lab.registry.versions(lab.name)
    return [v.version for v in versions if v.tags.get(JOB_TAG) == job.id]


def test_a_killed_trainer_s_job_is_taken_over(filled: LoopLab) -> None:
    job = filled.ask(settings=LONG)
    with filled.running("trainer", **SOON) as first:
        under_way(filled, job)
        first["trainer"].kill()
    left = filled.store.retrain_jobs.get(job.id)
    assert left is not None and left.state == "running"
    with filled.running("trainer", **SOON) as second:
        done = ended(filled, job)
        assert second["trainer"].terminate() == 0
    assert (done.state, done.attempts) == ("succeeded", 2), done.outcome
    assert registered_for(filled, job) == [done.version]
    assert filled.registry.aliases(filled.name) == {"champion": done.version}


def test_a_version_that_a_killed_trainer_registered_is_not_made_again(
    filled: LoopLab,
) -> None:
    job = filled.ask()
    taken = filled.store.retrain_jobs.take("a trainer that is killed")
    assert taken is not None and taken.id == job.id

    until_killed(filled, taken, filled.registry, dies)
    assert registered_for(filled, job) == [1]
    assert filled.registry.aliases(filled.name) == {}
    with filled.running("trainer", **SOON):
        done = ended(filled, job)
    assert (done.state, done.version) == ("succeeded", 1), done.outcome
    assert done.detail["resumed"] is True
    assert registered_for(filled, job) == [1]
    assert filled.registry.aliases(filled.name) == {"champion": 1}


def test_a_promotion_that_a_killed_trainer_began_is_completed_and_told(
    filled: LoopLab,
) -> None:
    job = filled.ask(settings={"trees": 20})
    taken = filled.store.retrain_jobs.take("a trainer that is killed")
    assert taken is not None
    until_killed(filled, taken, Dying(filled.registry.tracking_uri), lambda _: True)
    assert filled.registry.aliases(filled.name) == {}
    with filled.running("trainer", **SOON):
        done = ended(filled, job)
    assert (done.state, done.version) == ("succeeded", 1), done.outcome
    assert filled.registry.aliases(filled.name) == {"champion": 1}
    assert registered_for(filled, job) == [1]


def test_what_was_asked_for_as_challenger_is_one_after_a_kill_too(
    filled: LoopLab,
) -> None:
    job = filled.ask(settings={"trees": 20}, challenger=True)
    taken = filled.store.retrain_jobs.take("a trainer that is killed")
    assert taken is not None
    until_killed(filled, taken, filled.registry, dies)
    with filled.running("trainer", **SOON):
        done = ended(filled, job)
    assert (done.state, done.version) == ("succeeded", 1), done.outcome
    assert filled.registry.aliases(filled.name) == {"challenger": 1}


def test_a_job_that_every_trainer_vanishes_over_fails_and_says_so(
    filled: LoopLab,
) -> None:
    job = filled.ask()
    for number in range(3):
        # Each begins it and is not heard of again.
        taken = filled.store.retrain_jobs.take(f"w{number}", abandoned_seconds=0)
        assert taken is not None
    with filled.running("trainer", **SOON):
        done = ended(filled, job)
    assert done.state == "failed"
    assert "3 workers began it" in done.outcome
    assert filled.registry.versions(filled.name) == []


@pytest.mark.alone
def test_sigterm_hands_the_job_back_within_ten_seconds(filled: LoopLab) -> None:
    job = filled.ask(settings=LONG)
    with filled.running("trainer", **SOON) as first:
        under_way(filled, job)
        begun = time.monotonic()
        assert first["trainer"].terminate() == 0
        assert time.monotonic() - begun <= 10
    left = filled.store.retrain_jobs.get(job.id)
    assert left is not None
    if left.open:  # else it came to its end within these seconds
        assert (left.state, left.detail["handed_back"]) == ("queued", 1)
        with filled.running("trainer", **SOON):
            left = ended(filled, job)
    assert left.state == "succeeded", left.outcome
    assert left.vanished <= 1
    assert registered_for(filled, job) == [left.version]


@pytest.mark.alone
def test_sigterm_is_heeded_while_the_database_is_silent(filled: LoopLab) -> None:
    url = filled.settings.database_url.get_secret_value()
    with StallProxy.before(url) as proxy:
        job = filled.ask(settings=LONG)
        env = {"RTMLOPS_DATABASE_URL": proxy.url(url), **SOON}
        with filled.running("trainer", **env) as first:
            under_way(filled, job)
            proxy.stall()
            begun = time.monotonic()
            # It could not write down that it left; the job says so by its silence.
            assert first["trainer"].terminate() == 3
            assert time.monotonic() - begun <= 10
    with filled.running("trainer", **SOON):
        assert ended(filled, job).state == "succeeded"


def test_mlflow_killed_meanwhile_is_waited_for(
    filled: LoopLab, mlflow: MlflowServer
) -> None:
    job = filled.ask(settings=LONG)
    with filled.running("trainer"):
        under_way(filled, job)
        mlflow.kill()
        try:
            wait_until(
                lambda: "MLflow" in _step(filled, job),
                timeout=60,
                every=0.2,
                what="it says what it waits for",
            )
        finally:
            mlflow.start()
        done = ended(filled, job)
    assert (done.state, done.attempts) == ("succeeded", 1), done.outcome
    assert filled.registry.aliases(filled.name) == {"champion": done.version}


def test_mlflow_that_stays_away_fails_the_job_and_says_so(
    filled: LoopLab, mlflow: MlflowServer
) -> None:
    job = filled.ask(settings=LONG)
    with filled.running("trainer", RTMLOPS_TRAIN_OUTAGE_SECONDS="2"):
        under_way(filled, job)
        mlflow.kill()
        try:
            done = ended(filled, job)
        finally:
            mlflow.start()
    assert done.state == "failed"
    assert "MLflow" in done.outcome and "gave up" in done.outcome
    assert filled.registry.aliases(filled.name) == {}


def test_cut_database_connections_cost_no_more_than_time(filled: LoopLab) -> None:
    job = filled.ask(settings=LONG)
    cut = 0
    with filled.running("trainer"):
        under_way(filled, job)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            cut += len(
                filled.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name IN "
                    "('rtmlops trainer', 'rtmlops training')"
                )
            )
            time.sleep(0.3)
        done = ended(filled, job)
    assert cut > 1
    assert done.state == "succeeded", done.outcome
    assert registered_for(filled, job) == [done.version]


@pytest.fixture
def own_database(
    settings: Settings, mlflow: MlflowServer, topic_prefix: str, tmp_path: Path
) -> Iterator[LoopLab]:
    """A filled lab on a PostgreSQL of its own, which is started again when it dies."""
    with scratch_postgres(embedded_binaries()) as url:
        chosen = settings.model_copy(
            update={
                "database_url": SecretStr(url),
                "database_schema": topic_prefix.strip("-"),
                "topic_prefix": topic_prefix,
                "mlflow_tracking_uri": mlflow.uri,
                "home": tmp_path / "home",
            }
        )
        lab = LoopLab(chosen, tmp_path)
        lab.create()
        lab.store.backfill([simulated(0, HOURS)])
        yield lab
        lab.store.close()
        lab.delete_topic()


def test_a_killed_database_costs_no_more_than_time(own_database: LoopLab) -> None:
    lab = own_database
    job = lab.ask(settings=LONG)
    ((folder,),) = lab.sql("SHOW data_directory")
    with lab.running("trainer"):
        under_way(lab, job)
        server = psutil.Process(
            int(Path(folder, "postmaster.pid").read_text().split()[0])
        )
        for process in (server, *server.children()):
            os.kill(process.pid, signal.SIGKILL)
        lab.store.close()

        def done() -> RetrainJob | None:
            try:
                return lab.ended(job)
            except DependencyUnavailable:
                return None

        found = wait_until(done, timeout=200, every=0.2, what="the job ends")
    assert found.state == "succeeded", found.outcome
    assert registered_for(lab, job) == [found.version]
    assert lab.registry.aliases(lab.name) == {"champion": found.version}


def _step(lab: LoopLab, job: RetrainJob) -> str:
    now: Any = lab.store.retrain_jobs.get(job.id)
    assert now.open, now.outcome
    return str(now.step)
