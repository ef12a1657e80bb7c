"""What may change in a spec, and what may not."""

from __future__ import annotations

import numpy as np
import pytest

from rtmlops_lib.errors import SpecError
from rtmlops_lib.store.postgres.backfill import CHUNKS, ROWS, portions
from rtmlops_lib.store.postgres.ddl import check_names, check_table
from rtmlops_lib.store.postgres.table import column_types
from rtmlops_lib.streams import ColumnBatch, builtin_specs

SPEC = builtin_specs()["datacenter"]


def changed(**fields: dict):
    raw = SPEC.model_dump()["fields"]
    return SPEC.evolve(fields={**raw, **fields})


def test_a_new_field_is_a_column_to_add() -> None:
    spec = changed(gpu_usage={"type": "number"})
    added = check_table(spec, column_types(SPEC), SPEC.identity)
    assert added == {"gpu_usage": "double precision"}


def test_a_changed_type_is_refused_by_name() -> None:
    spec = changed(cpu_usage={"type": "integer"})
    with pytest.raises(SpecError, match="cpu_usage.*bigint.*metrics.cpu_usage"):
        check_table(spec, column_types(SPEC), SPEC.identity)


def test_a_changed_identity_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match="identity.*metrics"):
        check_table(SPEC, column_types(SPEC), ["time"])


def test_a_required_field_may_become_optional() -> None:
    spec = changed(cpu_usage={"type": "number", "required": False})
    assert check_table(spec, column_types(SPEC), SPEC.identity) == {}


def test_a_series_key_named_like_a_roll_up_column_is_refused() -> None:
    raw = SPEC.model_dump()["fields"]
    spec = SPEC.evolve(
        partition_key="n",
        series_key=["n"],
        identity=["n", "time"],
        fields={"n": raw.pop("server_id"), **raw},
    )
    with pytest.raises(SpecError, match="'n'"):
        check_names(spec)


def test_portions_bound_rows_and_days_and_lose_nothing() -> None:
    n = 50_000
    rng = np.random.default_rng(7)
    batch = ColumnBatch(
        spec=SPEC,
        time=rng.integers(0, 1_000, n) * 86_400_000_000 + np.arange(n),
        columns={
            name: np.full(n, "srv", object) if name == "server_id" else np.zeros(n)
            for name in SPEC.fields
        },
        partition=np.zeros(n, np.int32),
        offset=np.arange(n),
    )
    parts = list(portions(batch))
    assert np.array_equal(np.concatenate([p.time for p in parts]), batch.time)
    for part in parts:
        assert len(part) <= ROWS
        assert len(np.unique(part.time // 86_400_000_000)) <= CHUNKS
        assert (part.offset == -1).all() and (part.partition == -1).all()
