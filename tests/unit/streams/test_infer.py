"""A spec from samples."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtmlops_lib.errors import SpecError
from rtmlops_lib.streams import JsonCodec, StreamSpec, infer_spec
from tests.unit.streams.streams_samples import EVENT, event_bytes, raw_records


def infer(*events: dict[str, Any]) -> StreamSpec:
    return infer_spec("trips", "taxi-trips", [json.dumps(e).encode() for e in events])


def test_the_datacenters_events_give_its_keys_and_types(datacenter):
    values = [event_bytes(), event_bytes(server_id="b", memory_usage=3), b"garbage"]
    spec = infer_spec("mine", "datacenter-metrics", values)
    assert spec.partition_key == datacenter.partition_key
    assert spec.identity == datacenter.identity
    assert spec.time.field == "time"
    assert {n: f.type for n, f in spec.fields.items()} == {
        n: f.type for n, f in datacenter.fields.items() if n != "disk_io_mbps"
    }
    assert [n for n, f in spec.fields.items() if not f.required] == ["memory_usage"]
    assert all(f.minimum is f.maximum is None for f in spec.fields.values())


def test_a_spec_accepts_the_samples_it_was_inferred_from():
    samples = [
        {"created_at": "2025-09-30T12:00:00Z", "ts": 1_759_235_696_123, "city": "Bonn",
         "sensor_id": f"s{i}", "level": i, "big": 2**60 + i, "ok": True, "odd": None,
         "mixed": i if i else "x", "nested": {"a": 1}, "Not-A-Name": 1}
        for i in range(3)
    ]  # fmt: skip
    spec = infer(*samples)
    assert (spec.time.field, spec.time.format) == ("ts", "epoch_ms")
    assert spec.series_key == ("sensor_id",)
    assert {n: str(f.type) for n, f in spec.fields.items()} == {
        "created_at": "time",
        "city": "string",
        "sensor_id": "string",
        "level": "number",
        "big": "integer",
        "ok": "boolean",
    }
    values = [json.dumps(sample).encode() for sample in samples]
    decoded = JsonCodec(spec).decode(raw_records(values, timestamps=[-1] * 3))
    assert not decoded.rejects
    assert json.loads(decoded.batch.attributes[0])["nested"] == {"a": 1}


@pytest.mark.parametrize(
    ("number", "form"),
    [(1_759_235_696.5, "epoch_s"), (1_759_235_696_123_456, "epoch_us")],
)
def test_epochs_are_told_apart_by_their_size(number, form):
    assert infer({"timestamp": number, "id": "a"}).time.format == form


def test_the_key_is_best_by_name_then_by_how_little_it_varies():
    time = {"time": EVENT["time"]}
    assert infer({**time, "city": "B", "taxi_id": "1"}).partition_key == "taxi_id"
    varied = [{**time, "note": f"n{i}", "city": "Bonn"} for i in range(3)]
    assert infer(*varied).partition_key == "city"


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "none of 0 samples"),
        ([{"id": "a", "level": 1}], "no field is an instant"),
        ([{"id": "a", "time": "2025-09-30T12:00:00"}], "no offset"),
        ([{"time": EVENT["time"], "level": 1}], "no string field"),
    ],
)
def test_what_cannot_be_inferred_is_said_with_a_remedy(events, words):
    with pytest.raises(SpecError, match=words) as caught:
        infer(*events)
    assert caught.value.remedy


def test_a_reserved_name_in_the_samples_is_left_to_the_attributes():
    spec = infer({"time": EVENT["time"], "id": "a", "attributes": 1, "kafka_offset": 2})
    assert list(spec.fields) == ["id"]
