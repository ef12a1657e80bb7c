"""Drift reports and probations: what a restart finds is what was."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtmlops_lib.store.postgres import PostgresStore
from tests.live.store.events import World

pytestmark = pytest.mark.live

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def report(store: PostgresStore, number: int = 0, **changes: Any) -> int | None:
    given = {
        "stream": "datacenter",
        "model_name": "m",
        "model_version": 1,
        "kind": "error",
        "window_start": NOON + number * HOUR,
        "window_end": NOON + (number + 1) * HOUR,
        "state": "stable",
        "report": {"number": number, "effects": [0.5, None]},
    }
    return store.drift_reports.add(**{**given, **changes})


def test_a_verdict_comes_back_as_it_was_written(world: World) -> None:
    number = report(world.store, state="drift")
    assert number is not None
    found = world.store.drift_reports.get(number)
    assert found is not None
    assert found["state"] == "drift"
    assert found["report"] == {"number": 0, "effects": [0.5, None]}
    assert found["window_end"] == NOON + HOUR
    assert world.store.drift_reports.get(number + 1) is None


def test_what_is_no_number_is_null(world: World) -> None:
    nan, inf = float("nan"), float("inf")
    number = report(
        world.store, report={"a": nan, "b": [1.5, -inf], "c": {"d": (inf,)}}
    )
    found = world.store.drift_reports.get(number or 0)
    assert found is not None
    assert found["report"] == {"a": None, "b": [1.5, None], "c": {"d": [None]}}


def test_a_window_has_one_verdict_of_a_kind(world: World) -> None:
    assert report(world.store) is not None
    assert report(world.store, state="drift", model_version=2) is None
    assert report(world.store, kind="input") is not None
    assert report(world.store, model_name="other") is not None
    states = world.store.drift_reports.list(model_name="m")["state"]
    assert states.tolist() == ["stable", "stable"]


def test_the_newest_window_comes_first_whatever_the_order_of_writing(
    world: World,
) -> None:
    for number in (2, 0, 1):
        report(world.store, number)
    report(world.store, 5, kind="input")
    found = world.store.drift_reports.list(kind="error", limit=2, with_reports=True)
    assert [row["number"] for row in found["report"]] == [2, 1]
    assert world.store.drift_reports.list(stream="services").empty


def begin(store: PostgresStore, version: int = 2, name: str = "m") -> Any:
    return store.probations.begin(
        name, version, version - 1, started_at=NOON, ends_at=NOON + 24 * HOUR
    )


def test_one_probation_of_a_model_is_open_at_a_time(world: World) -> None:
    probations = world.store.probations
    first = begin(world.store)
    assert begin(world.store, 3) == first
    assert begin(world.store, 7, "other").version == 7
    assert probations.watching("m") == first
    assert probations.decide(first, "passed", {"mape": 0.02})
    assert probations.watching("m") is None
    assert not probations.decide(first, "rolled_back")
    second = begin(world.store, 3)
    states = [(one.version, one.state) for one in probations.newest(model_name="m")]
    assert states == [(3, "watching"), (2, "passed")]
    decided = probations.newest(model_name="m")[1]
    assert decided.detail == {"mape": 0.02}
    assert decided.decided_at is not None and second.decided_at is None


def test_processes_that_begin_at_once_watch_the_same(world: World) -> None:
    stores = [PostgresStore(world.url, schema=world.schema) for _ in range(6)]
    found: list[Any] = []
    gate = threading.Barrier(len(stores))

    def work(store: PostgresStore, version: int) -> None:
        gate.wait(10)
        found.append(begin(store, version))
        store.close()

    threads = [
        threading.Thread(target=work, args=(store, number + 2))
        for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == len(stores)
    assert len({one.id for one in found}) == 1
