"""Laws of the codec over arbitrary input."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmlops_lib.streams import (
    ColumnBatch,
    Decoded,
    FieldType,
    JsonCodec,
    Reason,
    StreamSpec,
    builtin_specs,
)
from tests.unit.streams.streams_samples import EVENT, SENT_MS, raw_records

DATACENTER = builtin_specs()["datacenter"]
numbers = st.integers() | st.floats() | st.integers(-5, 120)
texts = st.text(max_size=20) | st.sampled_from(["\0", "\\u0000", "a\u2028b", "é" * 300])
scalars = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=12,
)
# Events that are nearly right, so that most checks are reached.
near_events = st.dictionaries(
    st.sampled_from([*EVENT, "memory_usage", "disk_io_mbps", "rack", "note"]),
    st.just(...) | json_values,
    max_size=3,
).map(lambda changes: {k: v for k, v in {**EVENT, **changes}.items() if v is not ...})
json_bytes = (json_values | near_events).map(
    lambda value: json.dumps(value).encode("utf-8", "surrogatepass")
)
mutated = st.tuples(json_bytes, st.integers(0), st.binary(max_size=3)).map(
    lambda t: t[0][: t[1] % (len(t[0]) + 1)] + t[2] + t[0][t[1] % (len(t[0]) + 1) :]
)
values = st.none() | st.binary(max_size=60) | json_bytes | mutated
timestamps = st.sampled_from([SENT_MS, -1, 0, 2**62])


def assert_every_record_is_in_one_place(decoded: Decoded, count: int) -> None:
    places = [*(decoded.batch.offset - 100).tolist()]
    places += [reject.index for reject in decoded.rejects]
    assert sorted(places) == list(range(count))
    assert decoded.batch.offset.tolist() == sorted(decoded.batch.offset.tolist())
    for column in decoded.batch.columns.values():
        assert len(column) == len(decoded.batch)


def assert_same(one: ColumnBatch, other: ColumnBatch) -> None:
    np.testing.assert_array_equal(one.time, other.time)
    np.testing.assert_array_equal(one.offset, other.offset)
    assert one.nulls.keys() == other.nulls.keys()
    for name, column in one.columns.items():
        np.testing.assert_array_equal(column, other.columns[name])
        assert column.dtype == other.columns[name].dtype
    for name, mask in one.nulls.items():
        np.testing.assert_array_equal(mask, other.nulls[name])
    assert (one.attributes is None) == (other.attributes is None)
    if one.attributes is not None and other.attributes is not None:
        assert one.attributes.tolist() == other.attributes.tolist()


@given(st.lists(values, max_size=8), st.data())
@settings(max_examples=300, deadline=None)
def test_decode_never_raises_and_places_each_record_once(found, data):
    stamps = [data.draw(timestamps) for _ in found]
    decoded = JsonCodec(DATACENTER).decode(raw_records(found, timestamps=stamps))
    assert_every_record_is_in_one_place(decoded, len(found))


@given(st.lists(values, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_decoding_together_equals_decoding_one_by_one(found):
    codec = JsonCodec(DATACENTER)
    together = codec.decode(raw_records(found))
    rejects = []
    batches = [ColumnBatch.empty(DATACENTER)]
    for index, value in enumerate(found):
        alone = codec.decode(raw_records([value]))
        rejects += [(index, r.reason, r.detail) for r in alone.rejects]
        alone.batch.offset += index
        batches.append(alone.batch)
    assert [(r.index, r.reason, r.detail) for r in together.rejects] == rejects
    assert_same(together.batch, ColumnBatch.concat(batches))


@given(st.lists(values, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_structs_and_dicts_give_the_same(found):
    structs, dicts = JsonCodec(DATACENTER), JsonCodec(DATACENTER)
    dicts._parser._shape = None
    structs.decode(raw_records(found))  # learns the unknown fields
    one = structs.decode(raw_records(found))
    other = dicts.decode(raw_records(found))
    assert one.rejects == other.rejects
    assert_same(one.batch, other.batch)


def test_learnt_fields_are_read_by_structs_in_any_company():
    codec = JsonCodec(DATACENTER)
    plain, more = json.dumps(EVENT), json.dumps({**EVENT, "rack": None, "a b": [1]})
    for _ in range(2):
        decoded = codec.decode(raw_records([plain.encode(), more.encode()]))
        assert decoded.batch.attributes.tolist() == [None, '{"a b":[1],"rack":null}']
    assert codec._parser._shape.unknown == ("a b", "rack")


def test_a_topic_of_ever_new_fields_is_read_as_dicts():
    codec = JsonCodec(DATACENTER)
    for number in range(60):
        value = json.dumps({**EVENT, f"field_{number}": number}).encode()
        decoded = codec.decode(raw_records([value]))
        assert decoded.batch.attributes.tolist() == [f'{{"field_{number}":{number}}}']
    assert codec._parser._shape is None


def expected_verdict(value: bytes | None) -> bool:
    """Whether the value is an event, by the standard library and plain rules."""
    try:
        event = json.loads((value or b"\xff").decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    if not isinstance(event, dict) or not _holdable(event):
        return False
    for name, field in DATACENTER.fields.items():
        item = event.get(name)
        if item is None:
            if field.required:
                return False
        elif field.type is FieldType.STRING:
            if not isinstance(item, str) or len(item.encode()) > 512:
                return False
        elif isinstance(item, bool) or not isinstance(item, int | float):
            return False
        elif not field.minimum <= item <= field.maximum:
            return False
    return event.get("time") == EVENT["time"]


def _holdable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_holdable(k) and _holdable(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_holdable, value))
    if isinstance(value, float):
        return abs(value) < float("inf")
    if isinstance(value, str):
        surrogate = any("\ud800" <= character <= "\udfff" for character in value)
        return "\0" not in value and not surrogate
    return True


@given(values)
@settings(max_examples=500, deadline=None)
def test_the_verdict_agrees_with_a_plain_reading(value):
    decoded = JsonCodec(DATACENTER).decode(raw_records([value]))
    times = {Reason.BAD_TIME, Reason.NAIVE_TIME, Reason.FUTURE}
    if decoded.rejects and decoded.rejects[0].reason in times:
        return  # times have their own tests
    assert bool(len(decoded.batch)) == expected_verdict(value)


def batches_of(spec: StreamSpec) -> st.SearchStrategy[ColumnBatch]:
    clean = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=9)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    micros = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
    whole = st.integers(-(2**63), 2**63 - 1)
    kinds: dict[FieldType, Any] = {
        FieldType.NUMBER: finite,
        FieldType.INTEGER: whole,
        FieldType.STRING: clean,
        FieldType.BOOLEAN: st.booleans(),
        FieldType.TIME: micros,
    }
    extra = st.dictionaries(
        clean.map("x_".__add__), clean | finite | whole | st.booleans(), min_size=1
    )
    row = st.fixed_dictionaries(
        {
            "time": micros,
            "attributes": st.none() | extra,
            **{
                name: kinds[f.type] if f.required else st.none() | kinds[f.type]
                for name, f in spec.fields.items()
            },
        }
    )
    return st.lists(row, min_size=1, max_size=6).map(lambda rows: _batch(spec, rows))


def _batch(spec: StreamSpec, rows: list[dict[str, Any]]) -> ColumnBatch:
    empty = ColumnBatch.empty(spec)
    columns, nulls = {}, {}
    for name, field in spec.fields.items():
        found = [row[name] for row in rows]
        gone = np.array([value is None for value in found])
        filled = found
        if field.type is FieldType.NUMBER:
            filled = [np.nan if value is None else value for value in found]
        elif field.type is not FieldType.STRING:
            filled = [0 if value is None else value for value in found]
            if field.type is FieldType.TIME and gone.any():
                filled = [0 if value is None else value for value in found]
            if gone.any():
                nulls[name] = gone
        columns[name] = np.array(filled, empty.columns[name].dtype)
    attributes = None
    if any(row["attributes"] for row in rows):
        attributes = np.empty(len(rows), object)
        attributes[:] = [
            row["attributes"]
            and json.dumps(row["attributes"], ensure_ascii=False, separators=(",", ":"))
            for row in rows
        ]
    return ColumnBatch(
        spec=spec,
        time=np.array([row["time"] for row in rows], np.int64),
        columns=columns,
        partition=np.full(len(rows), 1, np.int32),
        offset=np.arange(100, 100 + len(rows)),
        attributes=attributes,
        nulls=nulls,
    )


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_decoding_what_was_encoded_gives_the_batch_back(every_type, data):
    spec = every_type.evolve(max_key_bytes=64)
    batch = data.draw(batches_of(spec))
    codec = JsonCodec(spec)
    keys, encoded = codec.encode(batch)
    assert [key.decode() for key in keys] == batch.columns["key"].tolist()
    decoded = codec.decode(raw_records(encoded, timestamps=[-1] * len(encoded)))
    assert decoded.rejects == []
    if batch.attributes is not None:
        batch.attributes[:] = [
            text and json.dumps(json.loads(text), sort_keys=True)
            for text in batch.attributes
        ]
        decoded.batch.attributes[:] = [
            text and json.dumps(json.loads(text), sort_keys=True)
            for text in decoded.batch.attributes
        ]
    assert_same(decoded.batch, batch)


@pytest.mark.parametrize("form", ["epoch_s", "epoch_ms", "epoch_us"])
@given(st.integers(-(2**52), 2**52))
def test_epoch_times_survive_the_round_trip(form, time):
    spec = DATACENTER.evolve(time={"format": form})
    template = JsonCodec(DATACENTER).decode(raw_records([json.dumps(EVENT).encode()]))
    batch = template.batch
    batch.spec = spec
    batch.time = np.array([time])
    _, encoded = JsonCodec(spec).encode(batch)
    decoded = JsonCodec(spec).decode(raw_records(encoded, timestamps=[-1]))
    assert decoded.batch.time.tolist() == [time]
