"""Reading back, numbers about tables, and the small shared tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import builtin_specs
from tests.live.store.events import GROUP, START_US, World, events, moved

pytestmark = pytest.mark.live

START = datetime.fromtimestamp(START_US / 1e6, UTC)


@pytest.fixture
def filled(world: World) -> World:
    steps = np.random.default_rng(2).permutation(1_000)
    batch = events(steps, servers=steps % 4)
    world.store.write(GROUP, [batch], [moved(world.claim(0)[0], 1_000)])
    return world


def test_events_come_back_in_order_of_time_as_they_went_in(filled: World) -> None:
    back = filled.store.read(filled.spec)
    wanted = events(np.arange(1_000), servers=np.arange(1_000) % 4).to_frame()
    pd.testing.assert_frame_equal(back, wanted[list(back.columns)], check_dtype=False)
    assert str(back["time"].dtype) == "datetime64[us, UTC]"


def test_since_is_included_and_until_is_not(filled: World) -> None:
    back = filled.store.read(
        filled.spec,
        since=START + timedelta(seconds=100),
        until=START + timedelta(seconds=200),
        columns=["time", "server_id", "kafka_offset"],
    )
    assert list(back.columns) == ["time", "server_id", "kafka_offset"]
    assert len(back) == 10 and back["time"].iloc[0] == START + timedelta(seconds=100)


def test_nothing_found_has_the_same_columns(filled: World) -> None:
    empty = filled.store.read(filled.spec, until=START)
    assert empty.dtypes.to_dict() == filled.store.read(filled.spec).dtypes.to_dict()
    assert len(empty) == 0


def test_chunks_together_are_the_whole(filled: World) -> None:
    parts = list(filled.store.read_chunks(filled.spec, chunk_rows=300))
    assert [len(part) for part in parts] == [300, 300, 300, 100]
    whole = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(whole, filled.store.read(filled.spec))


def test_a_reader_that_stops_early_leaves_the_connection_usable(filled: World) -> None:
    chunks = filled.store.read_chunks(filled.spec, chunk_rows=10)
    next(chunks)
    chunks.close()
    assert len(filled.store.offsets(GROUP)) == 1


def test_an_unknown_column_and_a_naive_time_are_refused(filled: World) -> None:
    with pytest.raises(UsageError, match="'gpu'"):
        filled.store.read(filled.spec, columns=["time", "gpu"])
    with pytest.raises(UsageError, match="no zone"):
        filled.store.read(filled.spec, since=datetime(2025, 1, 1))


def test_labels_come_back_with_their_times(
    any_database_url: str, make_world: Callable[[str], World]
) -> None:
    world = make_world(any_database_url)
    spec = builtin_specs()["labels"]
    world.store.migrate([spec])
    world.sql(
        "INSERT INTO {s}.anomaly_labels (time, server_id, anomaly_type, ended_at, "
        "severity, metric, kafka_partition, kafka_offset) VALUES "
        "('2025-01-01 00:00Z', 'a', 'cpu_spike', '2025-01-01 00:05Z', 0.5, 'm', 0, 0)"
    )
    back = world.store.read(spec)
    assert back["ended_at"][0] == datetime(2025, 1, 1, 0, 5, tzinfo=UTC)
    assert pd.isna(back["service"][0])


def test_offsets_show_one_group_or_all(filled: World) -> None:
    assert filled.store.offsets(GROUP)["next_offset"].tolist() == [1_000]
    assert len(filled.store.offsets("nobody")) == 0
    assert len(filled.store.offsets()) == 1


def test_stats_count_rows_of_a_hypertable_too(filled: World) -> None:
    filled.sql("ANALYZE {s}.metrics")
    table = filled.store.stats().set_index("table_name")
    assert table.loc["metrics", "rows_estimate"] == pytest.approx(1_000, rel=0.05)
    assert table.loc["metrics", "bytes"] > 50_000


def test_replays_are_counted_by_letter(plain_world: World) -> None:
    store = plain_world.store
    assert [store.record_replay("k1", "t") for _ in range(3)] == [1, 2, 3]
    store.record_replay("k2", "t")
    assert store.replay_counts(["k1", "k2", "k3"]) == {"k1": 3, "k2": 1}


def test_only_a_marked_database_gives_up_a_chapters_schema(
    world: World,
) -> None:
    chapter = PostgresStore(world.url, schema="ch97")
    chapter.migrate([world.spec])
    chapter.close()
    assert not world.store.is_practice()
    with pytest.raises(UsageError, match="marker"):
        world.store.drop_schema("ch97")
    world.store.mark_practice("rtmlops up")
    world.store.mark_practice("rtmlops up")
    assert world.store.is_practice()
    for name in ("public", "ch1", "ch970", world.schema):
        with pytest.raises(UsageError, match="only a chapter's"):
            world.store.drop_schema(name)
    world.store.drop_schema("ch97")
    world.store.drop_schema("ch97")
    assert world.sql("SELECT to_regnamespace('ch97')") == [(None,)]


def test_a_database_never_migrated_is_no_practice(database_url: str) -> None:
    settings = Settings(database_url=database_url, database_schema="never_made")
    store = open_store(settings)
    assert not store.is_practice()
    store.close()
