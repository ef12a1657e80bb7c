"""Features: one code for batch and stream, blind to what must not be seen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmlops_lib.errors import SpecError, UsageError
from rtmlops_lib.models import Features
from rtmlops_lib.streams import (
    ColumnBatch,
    FieldSpec,
    FieldType,
    JsonCodec,
    RawRecords,
    builtin_specs,
)
from tests.support.power_rows import simulated_batch

SPEC = builtin_specs()["datacenter"]
FEATURES = Features.of_spec(SPEC)


def decoded(events: list[dict[str, Any]]) -> ColumnBatch:
    """Events as a service reads them: bytes through the codec."""
    now = int(datetime(2030, 1, 1, tzinfo=UTC).timestamp() * 1000)
    raw = RawRecords(
        topic=SPEC.topic,
        partition=0,
        offsets=list(range(len(events))),
        timestamps=[now] * len(events),
        keys=[None] * len(events),
        values=[json.dumps(e).encode() for e in events],
        headers=[()] * len(events),
    )
    found = JsonCodec(SPEC).decode(raw)
    assert not found.rejects
    return found.batch


number = st.floats(0, 100, allow_nan=False)
moment = st.datetimes(datetime(2001, 1, 1), datetime(2029, 1, 1))
an_event = st.fixed_dictionaries(
    {
        "time": moment.map(lambda t: t.replace(tzinfo=UTC).isoformat()),
        "server_id": st.sampled_from(["srv-01", "srv-02", "never-seen"]),
        "cpu_usage": number,
        "temperature": number,
        "power_kw": number,
        "network_gbps": number,
    },
    optional={"memory_usage": number, "disk_io_mbps": number},
)


@settings(max_examples=50, deadline=None)
@given(st.lists(an_event, min_size=1, max_size=20))
def test_stream_and_training_compute_the_same_bits(
    events: list[dict[str, Any]],
) -> None:
    streamed = FEATURES.of_batch(decoded(events))
    frame = pd.DataFrame(events).reindex(columns=["time", *SPEC.fields])
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    trained = FEATURES.of_frame(frame)
    np.testing.assert_array_equal(streamed, trained)
    assert streamed.dtype == np.float32
    assert streamed.flags.c_contiguous


def test_a_row_does_not_depend_on_the_rows_around_it() -> None:
    batch = simulated_batch(hours=2)
    whole = FEATURES.of_batch(batch)
    order = np.random.default_rng(0).permutation(len(batch))
    np.testing.assert_array_equal(FEATURES.of_batch(batch.take(order)), whole[order])


class Guarded(dict[str, Any]):
    """Columns that may be asked for by name only, and remember what was asked."""

    def __init__(self, columns: dict[str, Any]) -> None:
        super().__init__(columns)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def __iter__(self) -> Any:
        raise AssertionError("features look at all columns")

    keys = values = items = __iter__


def test_only_declared_inputs_are_touched() -> None:
    batch = simulated_batch(hours=1)
    columns = Guarded(batch.columns)
    FEATURES.matrix(batch.time, columns)
    assert columns.asked == set(FEATURES.inputs)
    assert SPEC.target not in columns.asked
    assert "server_id" not in columns.asked


def test_the_target_changes_no_feature() -> None:
    batch = simulated_batch(hours=1)
    before = FEATURES.of_batch(batch)
    batch.columns["power_kw"] = batch.columns["power_kw"] * 100
    np.testing.assert_array_equal(FEATURES.of_batch(batch), before)


def test_no_feature_can_come_from_the_labels() -> None:
    labels = set(builtin_specs()["labels"].fields) - {"server_id"}
    for spec in builtin_specs().values():
        if spec.target is not None:
            assert not labels & set(Features.of_spec(spec).inputs)
    with pytest.raises(SpecError, match="anomaly_type"):
        SPEC.evolve(model={"inputs": ["anomaly_type"]})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"inputs": ["power_kw"]}, "must not see the target"),
        ({"inputs": ["server_id"]}, "must be a numeric field"),
        ({"inputs": ["cpu_usage"], "increasing": ["temperature"]}, "not among"),
        ({"inputs": []}, "inputs"),
        ({"inputs": ["cpu_usage"], "cycles": ["year"]}, "cycles"),
    ],
)
def test_an_impossible_model_section_is_refused(
    model: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        SPEC.evolve(model=model)


def test_without_a_model_section_all_numbers_but_the_target_are_seen() -> None:
    plain = Features.of_spec(SPEC.evolve(model=None))
    assert set(plain.inputs) == set(SPEC.numeric_fields) - {"power_kw"}


def test_a_stream_without_target_is_refused() -> None:
    with pytest.raises(UsageError, match="no target"):
        Features.of_spec(builtin_specs()["services"])


def test_a_missing_column_is_named() -> None:
    frame = simulated_batch(hours=1).to_frame().drop(columns="temperature")
    with pytest.raises(UsageError, match="'temperature'"):
        FEATURES.of_frame(frame)


def test_an_absent_integer_is_as_absent_as_an_absent_number() -> None:
    fields = {n: f.model_dump() for n, f in SPEC.fields.items()}
    fields["fans"] = FieldSpec(type=FieldType.INTEGER).model_dump()
    spec = SPEC.evolve(fields=fields, model={"inputs": ["fans"], "cycles": []})
    batch = ColumnBatch(
        spec=spec,
        time=np.zeros(2, np.int64),
        columns={"fans": np.array([3, 0])},
        partition=np.zeros(2, np.int32),
        offset=np.arange(2),
        nulls={"fans": np.array([False, True])},
    )
    found = Features.of_spec(spec).of_batch(batch)[:, 0]
    assert found[0] == 3
    assert np.isnan(found[1])


def test_midnight_joins_the_days() -> None:
    before = datetime(2025, 9, 1, 23, 59, 59, tzinfo=UTC)
    times = [int(t.timestamp() * 1e6) for t in (before, before + timedelta(seconds=2))]
    features = Features(inputs=(), cycles=("day",))
    rows = features.matrix(np.array(times), {})
    np.testing.assert_allclose(rows[0], rows[1], atol=3e-4)
