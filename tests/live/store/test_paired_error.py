"""Two models on the same events: what numpy says, at a bounded price."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest

from rtmlops_lib.models.scores import percentage_errors
from rtmlops_lib.store.postgres.paired_error import question
from rtmlops_lib.store.postgres.window_rows import HASHED
from tests.live.store.events import START_US, World, events

pytestmark = pytest.mark.live

MODEL = "datacenter-power_kw"
START = datetime.fromtimestamp(START_US / 1e6, UTC)
HOUR = timedelta(hours=1)
SERVERS = 5


def fill(world: World, hours: int) -> None:
    steps = np.tile(np.arange(hours * 360), SERVERS)
    numbers = np.repeat(np.arange(SERVERS), hours * 360)
    world.store.backfill([events(steps, servers=numbers)])
    for role, version, factor in (("champion", 2, 1.02), ("previous", 1, 1.10)):
        world.sql(
            "INSERT INTO {s}.predictions (time, server_id, model_name, role, "
            "model_version, predicted, kafka_partition, kafka_offset) "
            "SELECT time, server_id, %s, %s, %s, power_kw * %s + 0.5, 0, kafka_offset "
            # The former one was late: it scores from the second server on.
            "FROM {s}.metrics WHERE %s = 'champion' OR server_id > 'srv-000'",
            MODEL,
            role,
            version,
            factor,
            role,
        )


def paired(world: World, **changes: Any) -> pd.DataFrame:
    given: dict[str, Any] = {
        "first": ("champion", 2),
        "second": ("previous", 1),
        "since": START,
        "until": START + 2 * HOUR,
        "block_seconds": 600.0,
        **changes,
    }
    first, second = given.pop("first"), given.pop("second")
    return world.store.paired_error(world.spec, MODEL, first, second, **given)


def test_sums_are_those_of_percentage_errors_of_events_that_both_predicted(
    world: World,
) -> None:
    fill(world, 2)
    found = paired(world)
    rows = world.store.read(world.spec, columns=["time", "server_id", "power_kw"])
    y = rows["power_kw"].to_numpy()
    ours, theirs = (percentage_errors(y, y * f + 0.5) for f in (1.02, 1.10))
    both = (rows["server_id"] > "srv-000").to_numpy()
    assert found["rows"].sum() == both.sum()
    assert found["first"].sum() == pytest.approx(ours[both].sum())
    assert found["second"].sum() == pytest.approx(theirs[both].sum())
    micros = rows["time"].dt.tz_localize(None).astype("datetime64[us]").astype("int64")
    block = micros[both] // 600_000_000 * 600_000_000
    expected = pd.Series(ours[both]).groupby(block.to_numpy()).sum()
    assert found["block"].tolist() == expected.index.tolist()
    assert found["first"].tolist() == pytest.approx(expected.tolist())


def test_other_versions_and_times_do_not_count(world: World) -> None:
    fill(world, 2)
    assert paired(world, first=("champion", 3)).empty
    assert paired(world, second=("challenger", 1)).empty
    part = paired(world, since=START + HOUR, until=START + 1.5 * HOUR)
    assert part["rows"].sum() == 180 * (SERVERS - 1)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def test_no_row_is_looked_at_again_for_another(world: World) -> None:
    # As a minute after the tables began to grow: the planner takes them for empty.
    for table in ("metrics", "predictions"):
        world.sql(f"ALTER TABLE {{s}}.{table} SET (autovacuum_enabled = false)")
    fill(world, 2)
    values = {
        "block": 600.0,
        "since": START,
        "until": START + 2 * HOUR,
        "name": MODEL,
        "role": "champion",
        "version": 2,
        "other_role": "previous",
        "other_version": 1,
    }
    connection = psycopg2.connect(world.url)
    try:
        with connection.cursor() as cursor:
            connection.autocommit = True
            # Processes beside each other may each read it all.
            cursor.execute("SET max_parallel_workers_per_gather = 0")
            cursor.execute(HASHED)
            text = question(world.schema, world.spec).as_string(cursor)
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", values)
            plan = cursor.fetchone()[0][0]["Plan"]
    finally:
        connection.close()
    work = [
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed", 0))
        for node in nodes(plan)
        # What was worked out once may be read often.
        if node["Node Type"] not in ("CTE Scan", "Materialize")
    ]
    stored = 2 * 360 * SERVERS
    assert max(work) <= 3 * stored
