"""Alerts: one row each from the first report until it is over."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.store import Alert
from rtmlops_lib.store.postgres import PostgresStore
from tests.live.store.events import World

pytestmark = pytest.mark.live


def report(world: World, key: str = "error", **more: Any) -> tuple[int, bool]:
    said = {"kind": "error_growth", "severity": "critical", "message": "it grew"}
    return world.store.alerts.report(key, **{**said, **more})


def test_an_open_alert_is_one_row_however_often_it_is_reported(world: World) -> None:
    first, new = report(world, detail={"mape": 0.05})
    again, second = report(
        world, severity="warning", message="it still grows", detail={"mape": 0.09}
    )
    assert (first, new, second) == (again, True, False)
    (row,) = world.store.alerts.records()
    assert row["times_reported"] == 2
    assert row["updated_at"] > row["raised_at"]
    assert (row["severity"], row["message"]) == ("warning", "it still grows")
    assert row["detail"] == {"mape": 0.09}


def test_reports_at_once_are_one_row(world: World) -> None:
    barrier = threading.Barrier(20)

    def ask(_: int) -> bool:
        with closing(PostgresStore(world.url, schema=world.schema)) as store:
            store.alerts.records(limit=1)
            barrier.wait(60)
            return store.alerts.report("k", kind="x", severity="info", message="m")[1]

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(ask, range(20))) == 1
    (row,) = world.store.alerts.records()
    assert row["times_reported"] == 20


def test_what_is_resolved_is_over_and_may_come_back(world: World) -> None:
    alerts = world.store.alerts
    first, _ = report(world)
    assert alerts.resolve("error")
    assert not alerts.resolve("error")
    assert alerts.records(open_only=True) == []
    second, new = report(world)
    assert new and second != first
    assert [row["id"] for row in alerts.records(open_only=True)] == [second]
    assert [row["id"] for row in alerts.records()] == [second, first]


def test_each_source_has_keys_of_its_own(world: World) -> None:
    report(world, "same")
    assert report(world, "same", source="grafana")[1]
    assert world.store.alerts.resolve_all(
        ["same", "none"], source="grafana"
    ).keys() == {"same"}
    assert [row["source"] for row in world.store.alerts.records(open_only=True)] == [
        "rtmlops"
    ]


def test_the_first_who_saw_it_stays(world: World) -> None:
    alert_id, _ = report(world)
    assert world.store.alerts.acknowledge(alert_id, "ada")
    assert world.store.alerts.acknowledge(alert_id, "bob")
    report(world)
    (row,) = world.store.alerts.records(open_only=True)
    assert row["acknowledged_by"] == "ada"
    assert not world.store.alerts.acknowledge(alert_id + 1, "ada")


def test_what_happened_once_is_open_until_somebody_saw_it(world: World) -> None:
    """Lost events are written without a key: nothing will ever resolve them."""
    world.sql(
        "INSERT INTO {s}.alerts (kind, severity, message) "
        "VALUES ('events_lost', 'critical', 'gone'), ('events_lost', 'critical', 'too')"
    )
    rows = world.store.alerts.records(open_only=True)
    assert [row["message"] for row in rows] == ["too", "gone"]
    world.store.alerts.acknowledge(rows[0]["id"], "ada")
    (left,) = world.store.alerts.records(open_only=True)
    assert left["message"] == "gone"


def test_several_are_reported_together_or_not_at_all(world: World) -> None:
    good = Alert("a", "x", "info", "fine")
    bad = Alert("b", "x", "shouting", "not fine")  # type: ignore[arg-type]
    with pytest.raises(RtmlopsError):
        world.store.alerts.report_all([good, bad])
    assert world.store.alerts.records() == []
    found = world.store.alerts.report_all([good, Alert("0", "x", "info", "m"), good])
    assert [new for _, new in found] == [True, True, False]
    assert found[0][0] == found[2][0]


def test_reporting_and_resolving_at_once_never_lock_each_other_out(
    world: World,
) -> None:
    keys = [f"key {n}" for n in range(30)]

    def work(number: int) -> None:
        order = keys if number % 2 else keys[::-1]
        with closing(PostgresStore(world.url, schema=world.schema)) as store:
            for _ in range(10):
                if number < 3:
                    store.alerts.report_all(
                        [Alert(key, "x", "info", "m") for key in order]
                    )
                else:
                    store.alerts.resolve_all(order)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    twice = world.sql(
        "SELECT key FROM {s}.alerts WHERE resolved_at IS NULL "
        "GROUP BY key HAVING count(*) > 1"
    )
    assert twice == []


def test_the_table_of_no_alerts_has_its_columns(world: World) -> None:
    frame = world.store.alerts.newest()
    assert frame.empty
    assert {"id", "key", "message", "resolved_at"} <= set(frame.columns)
