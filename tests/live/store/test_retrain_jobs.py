"""The queue of trainings: one job a model, one worker a job, whoever asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from typing import Any

import pytest

from rtmlops_lib.store import RetrainJob
from rtmlops_lib.store.postgres import PostgresStore
from tests.live.store.events import World

pytestmark = pytest.mark.live

MODEL = "datacenter-power_kw"


def asked(world: World, **more: Any) -> tuple[RetrainJob | None, float]:
    return world.store.retrain_jobs.request(MODEL, stream="datacenter", **more)


def taken(world: World, worker: str = "a") -> RetrainJob:
    job = world.store.retrain_jobs.take(worker)
    assert job is not None
    return job


def forget_worker(world: World, job: RetrainJob) -> None:
    world.sql(
        "UPDATE {s}.retrain_jobs SET heartbeat_at = now() - interval '2 minutes' "
        "WHERE id = %s::uuid",
        job.id,
    )


def ask_at_once(url: str, schema: str, times: int) -> list[tuple[str | None, float]]:
    """Ask from so many threads of this process, each on a connection of its own."""
    barrier = threading.Barrier(times)

    def ask(_: int) -> tuple[str | None, float]:
        with closing(PostgresStore(url, schema=schema)) as store:
            store.retrain_jobs.newest(limit=1)  # connected before they start
            barrier.wait(60)
            job, wait = store.retrain_jobs.request(MODEL, stream="datacenter")
            return (None if job is None else job.id), wait

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(ask, range(times)))


def test_fifty_requests_from_five_processes_are_one_job(world: World) -> None:
    with ProcessPoolExecutor(5, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(ask_at_once, world.url, world.schema, 10) for _ in range(5)
        ]
        answers = [answer for part in parts for answer in part.result(120)]
    assert len({job_id for job_id, _ in answers}) == 1
    assert sorted(wait for _, wait in answers) == [-1.0] * 49 + [0.0]
    assert world.sql("SELECT count(*) FROM {s}.retrain_jobs") == [(1,)]


def test_a_job_keeps_what_was_asked_for(world: World) -> None:
    options = {"change_point": "2026-11-23T12:00:00+00:00"}
    job, _ = asked(
        world,
        kind="power",
        trigger="error_alert",
        reason='it grew; "much" \\ 100 %',
        requested_by="monitor",
        options=options,
    )
    assert job is not None
    again = world.store.retrain_jobs.get(job.id.upper())
    assert again == job
    assert (job.state, job.open, job.attempts) == ("queued", True, 0)
    assert (job.options, job.reason) == (options, 'it grew; "much" \\ 100 %')


def test_models_do_not_stand_in_each_others_way(world: World) -> None:
    first, _ = asked(world)
    other, wait = world.store.retrain_jobs.request("other", stream="datacenter")
    assert first is not None and other is not None
    assert first.id != other.id
    assert wait == 0.0


@pytest.mark.parametrize("text", ["", "none", "'; DROP TABLE x", "0" * 500])
def test_what_is_no_id_is_no_job(world: World, text: str) -> None:
    assert world.store.retrain_jobs.get(text) is None
    assert world.store.retrain_jobs.cancel(text, "x") is None


def test_workers_at_once_never_take_the_same_job(world: World) -> None:
    jobs = world.store.retrain_jobs
    wanted = {jobs.request(f"m{i}", stream="s")[0].id for i in range(60)}  # type: ignore[union-attr]
    barrier = threading.Barrier(8)

    def work(number: int) -> list[str]:
        mine = []
        with closing(PostgresStore(world.url, schema=world.schema)) as store:
            store.retrain_jobs.newest(limit=1)
            barrier.wait(60)
            while (job := store.retrain_jobs.take(f"worker {number}")) is not None:
                assert (job.state, job.worker) == ("running", f"worker {number}")
                mine.append(job.id)
        return mine

    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(work, range(8)))
    everything = [job_id for part in parts for job_id in part]
    assert len(everything) == len(set(everything)) == 60
    assert set(everything) == wanted


def test_the_oldest_is_taken_first(world: World) -> None:
    jobs = world.store.retrain_jobs
    for name in ("one", "two", "three"):
        jobs.request(name, stream="s")
    names = [taken(world).model_name for _ in range(3)]
    assert names == ["one", "two", "three"]


def test_a_job_in_good_hands_is_nobody_elses(world: World) -> None:
    asked(world)
    job = taken(world)
    assert world.store.retrain_jobs.take("b") is None
    assert world.store.retrain_jobs.beat(job, "fitting")
    seen = world.store.retrain_jobs.get(job.id)
    assert seen is not None
    assert (seen.step, seen.worker) == ("fitting", "a")


@pytest.mark.parametrize("successor", ["b", "a"])
def test_an_abandoned_job_is_taken_over_and_its_former_worker_refused(
    world: World, successor: str
) -> None:
    jobs = world.store.retrain_jobs
    asked(world)
    former = taken(world)
    forget_worker(world, former)
    present = jobs.take(successor, abandoned_seconds=60)
    assert present is not None
    assert (present.id, present.attempts) == (former.id, 2)
    # Also one of the same name: a process that came back knows nothing of its past.
    assert not jobs.beat(former)
    assert not jobs.registered(former, 7)
    assert not jobs.finish(former, "succeeded", "it was I", version=7)
    assert jobs.get(former.id) == present
    assert jobs.registered(present, 8)
    assert jobs.finish(present, "refused", "no better", detail={"mape": 0.1})
    ended = jobs.get(present.id)
    assert ended is not None
    assert (ended.state, ended.version, ended.outcome) == ("refused", 8, "no better")
    assert ended.detail == {"mape": 0.1}
    assert not ended.open


def test_only_one_of_many_takes_an_abandoned_job_over(world: World) -> None:
    asked(world)
    forget_worker(world, taken(world))

    def take(number: int) -> bool:
        with closing(PostgresStore(world.url, schema=world.schema)) as store:
            return store.retrain_jobs.take(f"w{number}") is not None

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(take, range(10))) == 1


def test_a_job_that_ended_cannot_end_again(world: World) -> None:
    asked(world)
    job = taken(world)
    assert world.store.retrain_jobs.finish(job, "failed", "no rows")
    assert not world.store.retrain_jobs.finish(job, "succeeded", "after all")
    assert not world.store.retrain_jobs.beat(job)


def test_the_cooldown_counts_from_the_end(world: World) -> None:
    jobs = world.store.retrain_jobs
    job, _ = asked(world, cooldown_seconds=600)
    assert job is not None
    assert asked(world, cooldown_seconds=600) == (job, -1.0)
    jobs.finish(taken(world), "failed", "MLflow was away")
    nothing, wait = asked(world, cooldown_seconds=600)
    assert nothing is None
    assert 590 < wait <= 600
    # Nothing is left of the request that came too early.
    assert len(jobs.newest()) == 1
    assert jobs.request("other", stream="s", cooldown_seconds=600)[1] == 0.0
    world.sql(
        "UPDATE {s}.retrain_jobs SET finished_at = finished_at - interval '601 s'"
    )
    again, wait = asked(world, cooldown_seconds=600)
    assert again is not None and wait == 0.0


def test_what_was_cancelled_cools_nothing(world: World) -> None:
    asked(world)
    world.store.retrain_jobs.finish(taken(world), "cancelled", "a mistake")
    assert asked(world, cooldown_seconds=600)[1] == 0.0


def test_who_asks_by_himself_heeds_that_somebody_cancelled(world: World) -> None:
    """Else the monitor would ask again ten seconds later."""
    job, _ = asked(world, trigger="error_alert")
    assert job is not None
    assert world.store.retrain_jobs.cancel(job.id, "not now") is not None
    nothing, wait = asked(world, trigger="error_alert", cooldown_seconds=600)
    assert nothing is None
    assert 540 < wait <= 600
    assert asked(world, cooldown_seconds=600)[1] == 0.0


def test_a_cancelled_job_is_its_workers_no_more(world: World) -> None:
    jobs = world.store.retrain_jobs
    asked(world)
    job = taken(world)
    assert jobs.beat(job, "fitting")
    done = jobs.cancel(job.id.upper(), "a mistake")
    assert done is not None and done.finished_at is not None
    assert (done.state, done.outcome, done.step) == ("cancelled", "a mistake", "")
    assert not done.open and not done.cancellable
    assert not jobs.beat(job)
    assert not jobs.registered(job, 7)
    assert not jobs.finish(job, "succeeded", "after all", version=7)
    assert not jobs.hand_back(job, "no")
    assert jobs.cancel(job.id, "again") is None
    assert jobs.get(job.id) == done


def test_a_job_cancelled_in_the_queue_is_taken_by_nobody(world: World) -> None:
    job, _ = asked(world)
    assert job is not None and job.cancellable
    assert world.store.retrain_jobs.cancel(job.id, "a mistake") is not None
    assert world.store.retrain_jobs.take("a") is None
    assert asked(world)[1] == 0.0


def test_what_is_being_decided_about_cannot_be_cancelled(world: World) -> None:
    jobs = world.store.retrain_jobs
    asked(world)
    job = taken(world)
    assert jobs.registered(job, 7)
    assert jobs.cancel(job.id, "too late") is None
    seen = jobs.get(job.id)
    assert seen is not None and seen.open and not seen.cancellable
    assert jobs.hand_back(job, "stopped")
    done = jobs.cancel(job.id, "in time")
    assert done is not None and (done.state, done.version) == ("cancelled", 7)


def test_of_a_cancellation_and_a_registration_one_wins(world: World) -> None:
    with closing(PostgresStore(world.url, schema=world.schema)) as other:
        other.retrain_jobs.newest(limit=1)
        for turn in range(25):
            world.store.retrain_jobs.request(f"model {turn}", stream="s")
            job = taken(world)
            barrier = threading.Barrier(2)

            def cancel(
                job: RetrainJob = job, barrier: threading.Barrier = barrier
            ) -> bool:
                barrier.wait(60)
                return other.retrain_jobs.cancel(job.id, "x") is not None

            with ThreadPoolExecutor(1) as pool:
                cancelled = pool.submit(cancel)
                barrier.wait(60)
                registered = world.store.retrain_jobs.registered(job, turn + 1)
                assert cancelled.result(60) != registered


def test_a_job_that_ends_while_others_ask_still_cools(world: World) -> None:
    """Whoever asks just then gets the job or the cooldown, never a second job."""
    stores = [PostgresStore(world.url, schema=world.schema) for _ in range(4)]
    try:
        for turn in range(25):
            name = f"model {turn}"
            world.store.retrain_jobs.request(name, stream="s")
            job = taken(world)
            barrier = threading.Barrier(5)

            def ask(
                store: PostgresStore,
                name: str = name,
                barrier: threading.Barrier = barrier,
            ) -> list[float]:
                barrier.wait(60)
                waits = [-1.0]
                # A second job that was let through would be open for ever.
                until = time.monotonic() + 10
                while waits[-1] < 0 and time.monotonic() < until:
                    _, wait = store.retrain_jobs.request(
                        name, stream="s", cooldown_seconds=600
                    )
                    waits.append(wait)
                return waits

            with ThreadPoolExecutor(4) as pool:
                waits = [pool.submit(ask, store) for store in stores]
                barrier.wait(60)
                assert world.store.retrain_jobs.finish(job, "succeeded", "")
                found = [wait for part in waits for wait in part.result(60)]
            assert 0.0 not in found
            assert max(found) <= 600
    finally:
        for store in stores:
            store.close()


def test_jobs_are_listed_by_model_and_state(world: World) -> None:
    jobs = world.store.retrain_jobs
    asked(world)
    jobs.finish(taken(world), "refused", "no better")
    second, _ = asked(world)
    jobs.request("other", stream="s")
    assert [job.model_name for job in jobs.newest()] == ["other", MODEL, MODEL]
    assert [job.state for job in jobs.newest(model_name=MODEL)] == ["queued", "refused"]
    assert jobs.newest(model_name=MODEL, state="queued") == [second]
    assert len(jobs.newest(limit=1)) == 1
    assert jobs.counts() == {
        (MODEL, "refused"): 1,
        (MODEL, "queued"): 1,
        ("other", "queued"): 1,
    }


def test_a_repeatable_read_database_changes_nothing(
    make_world: Callable[[str], World], any_database_url: str
) -> None:
    """Some sites set another default; ON CONFLICT would then fail now and then."""
    sign = "&" if "?" in any_database_url else "?"
    strict = (
        f"{any_database_url}{sign}"
        "options=-c%20default_transaction_isolation%3Dserializable"
    )
    world = make_world(any_database_url)
    with ThreadPoolExecutor(2) as pool:
        parts = [pool.submit(ask_at_once, strict, world.schema, 8) for _ in range(2)]
        answers = [answer for part in parts for answer in part.result(60)]
    assert sorted(wait for _, wait in answers) == [-1.0] * 15 + [0.0]
