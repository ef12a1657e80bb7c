"""Repeats and conflicts inside a batch."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmlops_lib.streams import (
    ColumnBatch,
    JsonCodec,
    builtin_specs,
    duplicate_rows,
    same_attributes,
    same_content,
)
from tests.unit.streams.streams_samples import event_bytes, raw_records

CODEC = JsonCodec(builtin_specs()["datacenter"])


def batch_of(*values: bytes) -> ColumnBatch:
    decoded = CODEC.decode(raw_records(values))
    assert not decoded.rejects
    return decoded.batch


def rows_of(*values: bytes) -> list[list[int]]:
    return [rows.tolist() for rows in duplicate_rows(batch_of(*values))]


def test_different_identities_are_all_kept():
    later = event_bytes(time="2025-09-30T12:34:57Z")
    assert rows_of(event_bytes(), event_bytes(server_id="b"), later) == [
        [0, 1, 2],
        [],
        [],
    ]
    assert [r.tolist() for r in duplicate_rows(ColumnBatch.empty(CODEC.spec))] == [
        [],
        [],
        [],
    ]


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
def test_what_says_the_same_is_a_duplicate(value):
    other = event_bytes(server_id="b", note=[])
    assert rows_of(event_bytes(), other, value) == [[0, 1], [2], []]


@pytest.mark.parametrize("value", DIFFERENT.values(), ids=DIFFERENT)
def test_what_says_something_else_is_a_conflict_and_the_first_wins(value):
    assert rows_of(event_bytes(), value, event_bytes()) == [[0], [2], [1]]
    assert rows_of(value, value, event_bytes()) == [[0], [1], [2]]


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
    import json

    variants = [event, *({**event, name: value} for name, value in zeros.items())]
    values = [json.dumps(variant).encode() for variant in variants]
    batch = JsonCodec(every_type).decode(raw_records(values)).batch
    for i in range(len(batch)):
        for j in range(len(batch)):
            assert same_content(batch, i, batch, j) is (i == j)


pool = st.lists(
    st.sampled_from(
        [event_bytes(server_id=s, **x) for s in "abc" for x in ({}, {"n": 1}, {"n": 2})]
    ),
    min_size=1,
    max_size=20,
)


@given(pool)
@settings(max_examples=100, deadline=None)
def test_rows_are_split_as_a_dictionary_would(values):
    batch = batch_of(*values)
    first: dict[bytes, bytes] = {}
    expected: list[list[int]] = [[], [], []]
    for row, (name, value) in enumerate(
        zip(batch.columns["server_id"].tolist(), values, strict=True)
    ):
        kept = first.get(name)
        first.setdefault(name, value)
        expected[0 if kept is None else 1 if kept == value else 2].append(row)
    assert [rows.tolist() for rows in duplicate_rows(batch)] == expected
