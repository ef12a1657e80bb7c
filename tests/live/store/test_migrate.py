"""Migrations and what a spec's change does to its tables."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from rtmlops_lib.errors import ConfigurationFault, SpecError
from rtmlops_lib.store.postgres import PostgresStore, migration
from rtmlops_lib.streams import builtin_specs
from tests.live.store.events import GROUP, SPEC, World, events, moved

pytestmark = pytest.mark.live


def changed(**fields: dict):
    return SPEC.evolve(fields={**SPEC.model_dump()["fields"], **fields})


def columns(world: World, table: str) -> list[tuple]:
    return world.sql(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        f"WHERE attrelid = '{{s}}.{table}'::regclass AND attnum > 0 "
        "AND NOT attisdropped ORDER BY attname"
    )


def test_migrating_again_does_nothing(world: World) -> None:
    assert world.store.migrate([world.spec]) == []


def test_all_built_in_streams_get_their_tables(world: World) -> None:
    done = world.store.migrate(list(builtin_specs().values()))
    assert "created table service_metrics" in done
    assert columns(world, "anomaly_labels") and columns(world, "service_metrics_1h")


def test_two_migrations_at_once_are_one(
    any_database_url: str, make_world: Callable[[str], World]
) -> None:
    world = make_world(any_database_url)
    done: list[list[str]] = []

    def migrate() -> None:
        store = PostgresStore(world.url, schema=world.schema)
        done.append(store.migrate([SPEC.evolve(name="other", table="other")]))
        store.close()

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The table, its predictions, its anomalies, its roll-ups.
    assert sorted(map(len, done)) == [0, 0, 0, 4]


def test_an_edited_migration_is_refused_by_name(world: World) -> None:
    world.sql("UPDATE {s}.schema_migrations SET checksum = 'edited'")
    with pytest.raises(ConfigurationFault, match="0001_shared_tables.sql was edited"):
        world.store.migrate([world.spec])


def test_a_schema_of_a_newer_release_is_refused(world: World) -> None:
    world.sql("INSERT INTO {s}.schema_migrations VALUES ('9999_later.sql', 'x')")
    with pytest.raises(ConfigurationFault, match="9999_later.sql"):
        world.store.migrate([world.spec])


def test_a_failing_migration_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [*migration.numbered_migrations(), ("0002_broken.sql", "CREATE TABLE x(")]
    monkeypatch.setattr(migration, "numbered_migrations", lambda: broken)
    fresh = changed(gpu_usage={"type": "number"})
    with pytest.raises(ConfigurationFault):
        world.store.migrate([fresh])
    assert "gpu_usage" not in dict(columns(world, "metrics"))


def test_a_new_field_is_a_nullable_column_and_joins_the_roll_ups(
    world: World,
) -> None:
    first = moved(world.claim(0)[0], 60)
    world.store.write(GROUP, [events(range(60))], [first])
    world.store.maintain([world.spec])
    spec = changed(gpu_usage={"type": "number"}, fans={"type": "integer"})
    done = world.store.migrate([spec])
    assert "added column metrics.gpu_usage" in done
    batch = events(range(60, 120), first_offset=60)
    batch.spec = spec
    batch.columns["gpu_usage"] = batch.columns["cpu_usage"] * 2
    batch.columns["fans"] = batch.time * 0 + 3
    world.store.write(GROUP, [batch], [moved(first, 120)])
    world.store.maintain([spec])
    total = world.sql(
        "SELECT sum(n), sum(cpu_usage_n), sum(gpu_usage_n), sum(fans_sum), "
        "sum(gpu_usage_sum) FROM {s}.metrics_1m"
    )
    gpu = float(batch.columns["gpu_usage"].sum())
    assert total == [(120, 120, 60, 180.0, pytest.approx(gpu))]
    assert world.sql("SELECT sum(gpu_usage_n) FROM {s}.metrics_1h") == [(60,)]
    assert world.store.migrate([spec]) == []
    # A writer of the former spec goes on as before.
    assert world.store.write(GROUP, [events([500])], [moved(moved(first, 120), 121)])


def test_a_changed_type_or_identity_is_refused_by_name(world: World) -> None:
    with pytest.raises(SpecError, match="cpu_usage"):
        world.store.migrate([changed(cpu_usage={"type": "string"})])
    with pytest.raises(SpecError, match="identity"):
        world.store.migrate(
            [
                SPEC.evolve(
                    fields={
                        **SPEC.model_dump()["fields"],
                        "rack": {"type": "string", "required": True},
                    },
                    identity=["rack", "server_id", "time"],
                )
            ]
        )


def test_roll_ups_may_come_later(world: World) -> None:
    bare = SPEC.evolve(name="bare", table="bare", rollups=False)
    world.store.migrate([bare])
    batch = events(range(60))
    batch.spec = bare
    world.store.write(GROUP, [batch], [moved(world.claim(0)[0], 60)])
    full = bare.evolve(rollups=True)
    world.store.migrate([full])
    assert world.sql("SELECT sum(n) FROM {s}.bare_1m") == [(60,)]
    world.store.maintain([full])
    assert world.sql("SELECT sum(n) FROM {s}.bare_1m") == [(60,)]
    assert world.sql("SELECT sum(n) FROM {s}.bare_1h") == [(60,)]


def test_both_kinds_of_database_show_the_same_columns(world: World) -> None:
    kinds = dict(columns(world, "metrics_1m"))
    assert kinds["n"] == "bigint" and kinds["cpu_usage_n"] == "bigint"
    assert kinds["bucket"] == "timestamp with time zone"
    assert {k for k, v in kinds.items() if v == "double precision"} == {
        f"{f}_{s}" for f in SPEC.numeric_fields for s in ("sum", "min", "max", "avg")
    }
    assert columns(world, "metrics_1h") == columns(world, "metrics_1m")
