"""The live error: what the predictions missed, by role, version and window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from rtmlops_lib.models.scores import regression_scores
from tests.live.store.events import START_US, World, events

pytestmark = pytest.mark.live

MODEL = "datacenter-power_kw"
START = datetime.fromtimestamp(START_US / 1e6, UTC)
HOUR = timedelta(hours=1)


def fill(world: World, hours: int = 2, servers: int = 3) -> None:
    """Events each ten seconds, and a prediction of each by three roles."""
    steps = np.tile(np.arange(hours * 360), servers)
    numbers = np.repeat(np.arange(servers), hours * 360)
    world.store.backfill([events(steps, servers=numbers)])
    for role, version, factor in (
        ("champion", 2, 1.02),
        ("previous", 1, 1.10),
        ("challenger", 3, 0.5),
    ):
        world.sql(
            "INSERT INTO {s}.predictions (time, server_id, model_name, role, "
            "model_version, predicted, kafka_partition, kafka_offset) "
            "SELECT time, server_id, %s, %s, %s, power_kw * %s, 0, kafka_offset "
            "FROM {s}.metrics WHERE %s <> 'challenger' OR server_id = 'srv-000'",
            MODEL,
            role,
            version,
            factor,
            role,
        )


def test_it_is_what_numpy_says_of_the_same_rows(world: World) -> None:
    fill(world)
    found = world.store.live_error(world.spec, MODEL, since=START)
    by_role = found.set_index("role")
    rows = world.store.read(world.spec, columns=["server_id", "power_kw"])
    for role, factor, servers in (
        ("champion", 1.02, 3),
        ("previous", 1.10, 3),
        ("challenger", 0.5, 1),
    ):
        part = rows if servers == 3 else rows[rows["server_id"] == "srv-000"]
        y = part["power_kw"].to_numpy()
        scores = regression_scores(y, y * factor)
        row = by_role.loc[role]
        assert row["rows"] == len(y)
        assert row["mae"] == pytest.approx(scores["mae"])
        assert row["rmse"] == pytest.approx(scores["rmse"])
        # Of a part of the servers the scale is that of all: theirs differs a little.
        assert row["mape"] == pytest.approx(scores["mape"], rel=0.02)
        assert row["bias"] == pytest.approx(float((y * factor - y).mean()))
    assert by_role.loc["champion", "mape"] < by_role.loc["previous", "mape"]
    assert by_role["model_version"].to_dict() == {
        "challenger": 3,
        "champion": 2,
        "previous": 1,
    }


def test_windows_are_of_the_clock_and_add_up(world: World) -> None:
    fill(world)
    whole = world.store.live_error(world.spec, MODEL, since=START)
    parts = world.store.live_error(world.spec, MODEL, since=START, window_seconds=900)
    assert (parts["window_start"].dt.minute % 15 == 0).all()
    assert (parts["window_start"].dt.second == 0).all()
    assert parts["window_start"].is_monotonic_increasing
    summed = parts.groupby("role")["rows"].sum()
    assert summed.to_dict() == whole.set_index("role")["rows"].to_dict()


def test_bounds_are_those_of_event_time(world: World) -> None:
    fill(world)
    found = world.store.live_error(
        world.spec, MODEL, since=START + HOUR, until=START + 1.5 * HOUR
    ).set_index("role")
    assert found.loc["champion", "rows"] == 180 * 3
    assert found["first_time"].min() == pd.Timestamp(START + HOUR)
    assert found["last_time"].max() < pd.Timestamp(START + 1.5 * HOUR)


def test_nothing_predicted_is_an_empty_table_with_its_types(world: World) -> None:
    world.store.backfill([events(range(10))])
    for name in (MODEL, "'; DROP TABLE metrics; --"):
        found = world.store.live_error(world.spec, name, since=START, window_seconds=60)
        assert found.empty
        assert str(found["mape"].dtype) == "float64"
        assert str(found["window_start"].dtype) == "datetime64[us, UTC]"


def test_two_versions_in_one_window_stand_apart(world: World) -> None:
    fill(world, hours=1)
    world.sql(
        "UPDATE {s}.predictions SET model_version = 9 "
        "WHERE role = 'champion' AND time >= %s",
        START + HOUR / 2,
    )
    found = world.store.live_error(world.spec, MODEL, since=START)
    champions = found[found["role"] == "champion"]
    assert champions.set_index("model_version")["rows"].to_dict() == {2: 540, 9: 540}
