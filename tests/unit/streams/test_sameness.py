"""What the double of the store holds for the same event."""

from __future__ import annotations

import json

import pytest

from rtmlops_lib.streams import ColumnBatch, JsonCodec, builtin_specs
from tests.support.sameness import same_attributes, same_content
from tests.unit.streams.streams_samples import event_bytes, raw_records

CODEC = JsonCodec(builtin_specs()["datacenter"])


def batch_of(*values: bytes) -> ColumnBatch:
    decoded = CODEC.decode(raw_records(values))
    assert not decoded.rejects
    return decoded.batch


def same(one: bytes, other: bytes) -> bool:
    return same_content(batch_of(one), 0, batch_of(event_bytes(), other), 1)


SAME = {
    "the same bytes": event_bytes(),
    "time in another zone": event_bytes(time="2025-09-30T14:34:56.000+02:00"),
    "number written otherwise": event_bytes().replace(b"75.2", b"752e-1"),
    "null for absent": event_bytes(memory_usage=None),
}
DIFFERENT = {
    "another number": event_bytes(cpu_usage=75.3),
    "an optional field more": event_bytes(memory_usage=0),
    "an unknown field more": event_bytes(rack="r1"),
}


@pytest.mark.parametrize("value", SAME.values(), ids=SAME)
def test_the_same_may_be_written_otherwise(value):
    assert same(event_bytes(), value) and same(value, event_bytes())


@pytest.mark.parametrize("value", DIFFERENT.values(), ids=DIFFERENT)
def test_a_typed_field_or_an_unknown_one_makes_a_difference(value):
    assert not same(event_bytes(), value) and not same(value, event_bytes())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, None, True),
        (None, '{"a":1}', False),
        ('{"a":1,"b":2}', '{"b": 2.0, "a": 1}', True),
        ('{"a":[1,2]}', '{"a":[2,1]}', False),
        ('{"a":[1]}', '{"a":[1,1]}', False),
        ('{"a":{"b":true}}', '{"a":{"b":1}}', False),
        ('{"a":0}', '{"a":false}', False),
        ('{"a":1e23}', '{"a":100000000000000000000000}', True),
        ('{"a":9007199254740993}', '{"a":9007199254740992}', False),
        ('{"a":"1"}', '{"a":1}', False),
        ('{"a":null}', '{"b":null}', False),
        ('{"a":{}}', '{"a":[]}', False),
    ],
)
def test_attributes_are_compared_as_json(one, other, same):
    assert same_attributes(one, other) is same
    assert same_attributes(other, one) is same


def test_absent_values_equal_each_other_only(every_type):
    event = {
        "time": "2025-09-30T12:34:56Z", "key": "k", "number_needed": 1,
        "integer_needed": 2, "string_needed": "", "boolean_needed": False,
        "time_needed": "1970-01-01T00:00:00Z",
    }  # fmt: skip
    zeros = {
        "integer_free": 0, "string_free": "", "boolean_free": False, "number_free": 0,
        "time_free": "1970-01-01T00:00:00Z",
    }  # fmt: skip
    variants = [event, *({**event, name: value} for name, value in zeros.items())]
    values = [json.dumps(variant).encode() for variant in variants]
    batch = JsonCodec(every_type).decode(raw_records(values)).batch
    for i in range(len(batch)):
        for j in range(len(batch)):
            assert same_content(batch, i, batch, j) is (i == j)
