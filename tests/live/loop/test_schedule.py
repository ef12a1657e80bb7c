"""The trainer's day: asked for once, caught up with, and never before a change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.trainer import Trainer
from rtmlops_lib.services.trainer_metrics import TrainerMetrics
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import builtin_specs
from tests.support.loop_lab import HOUR, LoopLab, simulated
from tests.support.power_rows import START
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.slow]


def trainer(lab: LoopLab, **changes: Any) -> Trainer:
    settings = Settings.model_validate(lab.settings.model_dump() | changes)
    return Trainer(settings, [lab.spec], health=Health(), metrics=TrainerMetrics())


def scheduled(lab: LoopLab) -> list[str]:
    return sorted(job.kind for job in lab.jobs() if job.trigger == "schedule")


def test_the_hour_asks_once_for_each_model_however_many_trainers(lab: LoopLab) -> None:
    lab.store.backfill([simulated(0, 1)])
    for one in (trainer(lab), trainer(lab)):
        one._schedule._due.set()
        one._heed_schedule()
    assert scheduled(lab) == ["anomaly", "power"]
    assert {job.trigger for job in lab.jobs()} == {"schedule"}


def test_nothing_is_asked_for_a_stream_without_events(lab: LoopLab) -> None:
    one = trainer(lab)
    one._schedule._due.set()
    one._heed_schedule()
    assert lab.jobs() == []


def test_a_stream_that_is_out_of_order_holds_up_no_others(lab: LoopLab) -> None:
    lab.store.backfill([simulated(0, 1)])
    lab.ask(settings={"trees": 20})
    # Nobody has made the other's tables.
    settings = Settings.model_validate(lab.settings.model_dump())
    one = Trainer(
        settings,
        [builtin_specs()["services"], lab.spec],
        health=Health(),
        metrics=TrainerMetrics(),
    )
    one._schedule._due.set()
    with pytest.raises(RtmlopsError, match="service_metrics"):
        one._turn()
    one.stop()
    assert one._hand_back() == 0
    # What was in the queue was taken, and what could be asked for was.
    assert {(job.kind, job.trigger) for job in lab.jobs()} == {
        ("power", "manual"),
        ("anomaly", "schedule"),
    }


def test_a_day_missed_long_ago_is_caught_up_with_too(lab: LoopLab) -> None:
    """Whatever was asked for by hand since."""
    lab.store.backfill([simulated(0, 1)])
    first = trainer(lab)
    first._schedule._due.set()
    first._heed_schedule()
    schema = lab.settings.database_schema
    lab.sql(
        f"UPDATE {schema}.retrain_jobs SET state = 'failed', requested_at = now() - "
        "interval '9 days', finished_at = now() - interval '9 days'"
    )
    lab.sql(
        f"INSERT INTO {schema}.retrain_jobs (model_name, stream, kind, state, trigger, "
        f"finished_at) SELECT '{lab.name}', 'datacenter', 'power', 'failed', 'manual', "
        "now() - interval '1 day' FROM generate_series(1, 60)"
    )
    trainer(lab)._heed_schedule()
    # Of the newest fifty: those asked for long ago are not among them.
    assert scheduled(lab) == ["anomaly", "power"]


def test_a_day_that_was_missed_is_caught_up_with(lab: LoopLab) -> None:
    lab.store.backfill([simulated(0, 1)])
    first = trainer(lab)
    first._schedule._due.set()
    first._heed_schedule()
    schema = lab.settings.database_schema
    ago = datetime.now(UTC) - timedelta(days=3)
    lab.sql(
        f"UPDATE {schema}.retrain_jobs SET state = 'succeeded', "
        f"requested_at = '{ago}', finished_at = '{ago}'"
    )
    trainer(lab, train_schedule="")._heed_schedule()
    assert len(lab.jobs()) == 2, "a trainer without a schedule asks for nothing"
    trainer(lab)._heed_schedule()
    assert len(lab.jobs()) == 4


def test_the_daily_training_does_not_reach_back_beyond_a_known_change(
    lab: LoopLab,
) -> None:
    lab.store.backfill([simulated(0, 24)])
    lab.store.backfill([simulated(24, 54, power_curve=1.2)])
    changed = (START + 24 * HOUR).isoformat()
    with lab.running("trainer", RTMLOPS_TRAIN_AFTER_CHANGE_HOURS="24"):
        for options in ({"change_point": changed}, {}):
            job = lab.ask(**options, settings={"trees": 20})
            done = wait_until(
                lambda job=job: lab.ended(job),  # type: ignore[misc]
                timeout=120,
                every=0.2,
                what="the training ends",
            )
            version = lab.registry.version(lab.name, int(done.version or 0))
            assert version.tags["change_point"] == changed, done.outcome
            assert version.tags["window_start"] == "2025-09-02T00:00:00Z"
