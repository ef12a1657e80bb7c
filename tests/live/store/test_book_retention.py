"""Reports, closed alerts and episodes go when they are old; what is open stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.store import AnomalyEvent
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.store.postgres import PostgresStore, book_retention
from rtmlops_lib.store.postgres.book_retention import NEWEST_REPORTS, BookRetention
from tests.live.store.events import GROUP, START_US, World, events, moved

pytestmark = pytest.mark.live

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DROPPED = ("drift_reports_dropped", "alerts_dropped", "anomaly_events_dropped")


def report(store: PostgresStore, number: int, name: str = "m") -> None:
    store.drift_reports.add(
        stream="datacenter",
        model_name=name,
        model_version=1,
        kind="error",
        window_start=NOON + number * HOUR,
        window_end=NOON + (number + 1) * HOUR,
        state="stable",
        report={"number": number},
    )


def dropped(world: World, keep: BookRetention | None = None) -> tuple[int, ...]:
    store = PostgresStore(world.url, schema=world.schema, keep=keep)
    try:
        counts = store.maintain([world.spec])
    finally:
        store.close()
    return tuple(counts[name] for name in DROPPED)


def aged(
    world: World, table: str, columns: str, days: int, where: str = "true"
) -> None:
    """Let rows be so many days older than they are."""
    for column in columns.split():
        world.sql(
            f"UPDATE {{s}}.{table} SET {column} = {column} - %s * interval '1 day' "
            f"WHERE {where}",
            days,
        )


def test_old_reports_go_in_batches_and_the_newest_of_each_model_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_retention, "DELETE_ROWS", 40)
    for number in range(150):
        report(world.store, number)
    for number in range(3):
        report(world.store, number, "rare")
    assert dropped(world) == (0, 0, 0)
    aged(world, "drift_reports", "checked_at", 181)
    assert dropped(world, BookRetention(drift_reports=None)) == (0, 0, 0)
    assert dropped(world) == (150 - NEWEST_REPORTS, 0, 0)
    left = world.store.drift_reports.list(model_name="m", with_reports=True)
    newest = [150 - 1 - n for n in range(NEWEST_REPORTS)]
    assert [row["number"] for row in left["report"]] == newest
    assert len(world.store.drift_reports.list(model_name="rare")) == 3
    assert dropped(world) == (0, 0, 0)


def test_reports_that_are_young_stay_whatever_they_tell_of(world: World) -> None:
    for number in range(60):
        report(world.store, number)
    aged(world, "drift_reports", "checked_at", 200, "mod(id, 2) = 0")
    gone = dropped(world)[0]
    assert 0 < gone <= 30
    left = world.store.drift_reports.list(limit=1_000)
    assert len(left) == 60 - gone
    assert (left["id"] % 2 == 1).sum() == 30


def test_alerts_go_once_they_are_closed_and_old(world: World) -> None:
    alerts = world.store.alerts
    for key in ("open", "resolved", "resolved lately"):
        alerts.report(key, kind="k", severity="warning", message=key)
    for key in ("resolved", "resolved lately"):
        assert alerts.resolve(key)
    world.sql(
        "INSERT INTO {s}.alerts (kind, severity, message, acknowledged_at) VALUES "
        "('loss', 'critical', 'seen', now()), ('loss', 'critical', 'unseen', NULL)"
    )
    aged(world, "alerts", "raised_at updated_at", 400)
    aged(world, "alerts", "resolved_at", 400, "message = 'resolved'")
    aged(world, "alerts", "acknowledged_at", 400)
    # Acknowledged is not over, where there is somebody who would say that it is.
    world.sql("UPDATE {s}.alerts SET acknowledged_at = raised_at WHERE key = 'open'")
    assert dropped(world, BookRetention(alerts=None)) == (0, 0, 0)
    assert dropped(world) == (0, 2, 0)
    left = set(alerts.newest()["message"])
    assert left == {"open", "resolved lately", "unseen"}


def test_episodes_go_when_nothing_was_heard_of_them_for_long(world: World) -> None:
    position = world.claim(0)[0]
    told = [
        AnomalyEvent(
            stream="datacenter",
            series={"server_id": f"srv-{number}"},
            detector="d",
            started_at=START_US,
            ended_at=START_US + 1,
            peak_at=START_US,
            confirmed_at=START_US,
            peak_score=1.0,
            flagged_rows=1,
            severity="warning",
            metric="cpu_usage",
            explanation="high",
            state="closed",
        )
        for number in range(3)
    ]
    world.store.write(GROUP, [events([1])], [moved(position, 1)], anomaly_events=told)
    # Of old event time, as simulated history is: what was written lately stays.
    aged(world, "anomaly_events", "started_at", 2_000)
    assert dropped(world) == (0, 0, 0)
    aged(world, "anomaly_events", "updated_at", 366, "series_key <> 'srv-1'")
    assert dropped(world, BookRetention(anomaly_events=None)) == (0, 0, 0)
    assert dropped(world) == (0, 0, 2)
    assert world.store.anomaly_events()["series_key"].tolist() == ["srv-1"]


def test_the_settings_say_for_how_long_and_nought_is_for_ever(world: World) -> None:
    for number in range(NEWEST_REPORTS + 2):
        report(world.store, number)
    aged(world, "drift_reports", "checked_at", 2)

    def by(days: float) -> int:
        settings = Settings.model_validate(
            {
                "database_url": world.url,
                "database_schema": world.schema,
                "keep_drift_reports_days": days,
            }
        )
        store = open_store(settings)
        try:
            return store.maintain([world.spec])["drift_reports_dropped"]
        finally:
            store.close()

    assert [by(days) for days in (0, 180, 3, 1)] == [0, 0, 0, 2]
