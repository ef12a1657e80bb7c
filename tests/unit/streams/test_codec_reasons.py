"""Each reason for which a record is no event."""

from __future__ import annotations

import json

import pytest

from rtmlops_lib.streams import JsonCodec, Reason
from tests.unit.streams.streams_samples import EVENT, SENT_MS, event_bytes, raw_records


def with_text(field: str, text: str) -> bytes:
    """The usual event with a field's JSON text put in verbatim."""
    marked = event_bytes(**{field: "@@"}).decode()
    return marked.replace('"@@"', text).encode("utf-8", "surrogatepass")


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


CASES = {
    "null value": (None, Reason.TOMBSTONE),
    "empty value": (b"", Reason.NOT_JSON),
    "cut short": (event_bytes()[:-5], Reason.NOT_JSON),
    "trailing text": (event_bytes() + b"x", Reason.NOT_JSON),
    "two objects": (event_bytes() + event_bytes(), Reason.NOT_JSON),
    "byte order mark": (b"\xef\xbb\xbf" + event_bytes(), Reason.NOT_JSON),
    "latin-1 field": (with_text("server_id", '"é"').replace(b"\xc3", b""), "not_utf8"),
    "latin-1 unknown": (with_text("note", '"@"').replace(b"@", b"\xe9"), "not_utf8"),
    "latin-1 unknown key": (
        event_bytes(note=1).replace(b"note", b"n\xf6te"),
        Reason.NOT_UTF8,
    ),
    "overlong": (with_text("note", '"@"').replace(b"@", b"\xc0\x80"), "not_utf8"),
    "raw surrogate": (with_text("note", '"\ud800"'), Reason.NOT_UTF8),
    "escaped lone surrogate": (with_text("note", r'"\ud800"'), Reason.NOT_UTF8),
    "escaped low surrogate": (with_text("server_id", r'"\udc00"'), Reason.NOT_UTF8),
    "utf-16": (event_bytes().decode().encode("utf-16"), Reason.NOT_UTF8),
    "array": (b"[1, 2]", Reason.NOT_OBJECT),
    "number": (b"17", Reason.NOT_OBJECT),
    "json null": (b"null", Reason.NOT_OBJECT),
    "too large": (event_bytes(note="x" * 1_000_000), Reason.TOO_LARGE),
    "ten megabytes": (b"[" * 10_000_000, Reason.TOO_LARGE),
    "deep unknown field": (with_text("note", nested(64)), Reason.TOO_DEEP),
    "very deep unknown field": (with_text("note", nested(300)), Reason.TOO_DEEP),
    "bottomless": (with_text("note", nested(100_000)), Reason.TOO_DEEP),
    "deep objects": (
        with_text("note", '{"a":' * 64 + "1" + "}" * 64),
        Reason.TOO_DEEP,
    ),
    "nul in identity": (with_text("server_id", r'"a\u0000"'), Reason.NUL),
    "nul in unknown": (with_text("note", r'"\u0000"'), Reason.NUL),
    "nul nested": (with_text("note", r'[{"a": ["\u0000"]}]'), Reason.NUL),
    "nul in a key": (with_text("note", r'{"\u0000": 1}'), Reason.NUL),
    "raw nul": (with_text("note", '"a\0b"'), Reason.NOT_JSON),
    "identity too long": (event_bytes(server_id="x" * 513), Reason.KEY_TOO_LONG),
    "identity too long in bytes": (
        event_bytes(server_id="é" * 257),
        Reason.KEY_TOO_LONG,
    ),
    "missing number": (event_bytes(cpu_usage=...), Reason.MISSING),
    "null number": (event_bytes(cpu_usage=None), Reason.MISSING),
    "missing identity": (event_bytes(server_id=...), Reason.MISSING),
    "missing time": (event_bytes(time=...), Reason.MISSING),
    "empty object": (b"{}", Reason.MISSING),
    "boolean as number": (event_bytes(cpu_usage=True), Reason.WRONG_TYPE),
    "text as number": (event_bytes(cpu_usage="75.2"), Reason.WRONG_TYPE),
    "list as number": (event_bytes(memory_usage=[1]), Reason.WRONG_TYPE),
    "number as text": (event_bytes(server_id=42), Reason.WRONG_TYPE),
    "number as time": (event_bytes(time=1_759_235_696), Reason.WRONG_TYPE),
    "NaN": (with_text("cpu_usage", "NaN"), Reason.NOT_JSON),
    "Infinity": (with_text("cpu_usage", "-Infinity"), Reason.NOT_JSON),
    "NaN in an unknown field": (with_text("note", "NaN"), Reason.NOT_JSON),
    "huge number": (with_text("cpu_usage", "1e999"), Reason.OUT_OF_BOUNDS),
    "huge unknown": (with_text("note", "1e400000"), Reason.OUT_OF_BOUNDS),
    "huge whole number": (with_text("cpu_usage", "9" * 400), Reason.OUT_OF_BOUNDS),
    "huge unknown whole": (with_text("note", "9" * 5_000), Reason.OUT_OF_BOUNDS),
    "below the minimum": (event_bytes(cpu_usage=-0.1), Reason.OUT_OF_BOUNDS),
    "above the maximum": (event_bytes(cpu_usage=100.5), Reason.OUT_OF_BOUNDS),
    "optional out of bounds": (event_bytes(memory_usage=101), Reason.OUT_OF_BOUNDS),
    "no time": (event_bytes(time="yesterday"), Reason.BAD_TIME),
    "day that is none": (event_bytes(time="2025-02-29T00:00:00Z"), Reason.BAD_TIME),
    "naive": (event_bytes(time="2025-09-30T12:34:56"), Reason.NAIVE_TIME),
    "date alone": (event_bytes(time="2025-09-30"), Reason.NAIVE_TIME),
    "future": (event_bytes(time="2025-09-30T12:45:00.000001Z"), Reason.FUTURE),
}


@pytest.mark.parametrize(("value", "reason"), CASES.values(), ids=CASES)
def test_a_malformed_record_is_refused_with_its_reason(decode, value, reason):
    decoded = decode(event_bytes(), value, event_bytes(server_id="b"))
    assert [(r.index, r.reason) for r in decoded.rejects] == [(1, reason)]
    assert decoded.rejects[0].detail
    assert decoded.batch.offset.tolist() == [100, 102]
    assert decoded.batch.columns["server_id"].tolist() == ["srv-42", "b"]
    assert decoded.batch.attributes is None
    assert set(decoded.batch.nulls) == set()


@pytest.mark.parametrize(("value", "reason"), CASES.values(), ids=CASES)
def test_the_verdict_does_not_depend_on_the_records_beside_it(decode, value, reason):
    alone = decode(value)
    among = decode(*[event_bytes(note=1)] * 3, value, b"{", event_bytes(rack="r"))
    assert len(alone.batch) == 0
    assert alone.rejects[0].detail == among.rejects[0].detail
    assert [r.index for r in among.rejects] == [3, 4]


ACCEPTED = {
    "whole number": event_bytes(cpu_usage=75),
    "bounds themselves": event_bytes(cpu_usage=100, temperature=-50),
    "escaped backslash": with_text("note", r'"\\u0000"'),
    "surrogate pair": with_text("note", r'"\ud83d\ude00"'),
    "allowed depth": with_text("note", nested(63)),
    "bracket in a string": event_bytes(note="[[[[:{:{"),
    "identity of the allowed length": event_bytes(server_id="é" * 256),
    "empty identity": event_bytes(server_id=""),
    "null optional": event_bytes(memory_usage=None),
    "space for T": event_bytes(time="2025-09-30 12:34:56Z"),
    "other offset": event_bytes(time="2025-09-30T18:04:56+05:30"),
    "the latest time": event_bytes(time="2025-09-30T12:45:00Z"),
    "ancient": event_bytes(time="0001-01-01T00:00:00Z"),
    "white space": b" \n" + json.dumps(EVENT, indent=2).encode() + b"\t\r\n",
    "duplicate key": event_bytes()[:-1] + b', "cpu_usage": 1}',
}


@pytest.mark.parametrize("value", ACCEPTED.values(), ids=ACCEPTED)
def test_an_unusual_but_valid_record_is_accepted(decode, value):
    decoded = decode(value)
    assert decoded.rejects == []
    assert len(decoded.batch) == 1


def test_of_a_duplicate_key_the_last_counts(decode):
    batch = decode(ACCEPTED["duplicate key"]).batch
    assert batch.columns["cpu_usage"].tolist() == [1.0]


def test_a_record_key_may_be_null_or_another_but_not_too_long(decode):
    decoded = decode(*[event_bytes()] * 3, keys=[None, b"other", b"x" * 513])
    assert len(decoded.batch) == 2
    assert [(r.index, r.reason) for r in decoded.rejects] == [(2, Reason.KEY_TOO_LONG)]


def test_time_limits_follow_the_record_and_are_off_without_its_timestamp(
    decode, datacenter
):
    limited = datacenter.evolve(time={"max_future_seconds": 1, "max_age_seconds": 10})
    late, early = event_bytes(), event_bytes(time="2025-09-30T12:35:02Z")
    decoded = decode(
        late, late, early, early, late, spec=limited,
        timestamps=[SENT_MS, SENT_MS + 60_000, SENT_MS, SENT_MS + 1_000, -1],
    )  # fmt: skip
    assert [(r.index, r.reason) for r in decoded.rejects] == [
        (1, Reason.TOO_OLD),
        (2, Reason.FUTURE),
    ]


def test_what_retention_would_drop_is_refused(decode, datacenter):
    day_ms = 86_400_000
    decoded = decode(
        event_bytes(), event_bytes(), spec=datacenter.evolve(retention_days=2),
        timestamps=[SENT_MS + day_ms, SENT_MS + 3 * day_ms],
    )  # fmt: skip
    assert [(r.index, r.reason) for r in decoded.rejects] == [(1, Reason.TOO_OLD)]


def test_integers_are_strict_and_of_64_bits(every_type):
    spec = every_type.evolve(
        fields={
            "key": {"type": "string", "required": True},
            "count": {"type": "integer", "minimum": -(2.0**63)},
        }
    )
    texts = ["5", "5.0", "true", '"5"', str(2**63 - 1), str(2**63), str(-(2**63) - 1)]
    values = [
        b'{"time": "2025-09-30T12:34:56Z", "key": "k", "count": %b}' % text.encode()
        for text in texts
    ]
    decoded = JsonCodec(spec).decode(raw_records(values))
    assert decoded.batch.columns["count"].tolist() == [5, 2**63 - 1]
    assert [str(r.reason) for r in decoded.rejects] == [
        *["wrong_type"] * 3,
        *["out_of_bounds"] * 2,
    ]


def test_booleans_and_nested_times_are_read_and_refused(every_type):
    event = {
        "time": "2025-09-30T12:34:56Z",
        "key": "k",
        "number_needed": 1,
        "integer_needed": 2,
        "string_needed": "long strings that are no key may exceed max_key_bytes",
        "boolean_needed": True,
        "time_needed": "1970-01-01T00:00:01+00:00",
    }
    values = [
        json.dumps(event | changes).encode()
        for changes in (
            {},
            {"boolean_needed": 1},
            {"time_needed": "1970-01-01T00:00:01"},
            {"time_free": "x"},
            {"time_free": 5},
            {"boolean_free": "true"},
        )
    ]
    decoded = JsonCodec(every_type).decode(raw_records(values))
    assert decoded.batch.columns["boolean_needed"].tolist() == [True]
    assert decoded.batch.columns["time_needed"].tolist() == [1_000_000]
    assert decoded.batch.nulls["time_free"].tolist() == [True]
    assert [str(r.reason) for r in decoded.rejects] == [
        *("wrong_type", "naive_time", "bad_time", "wrong_type", "wrong_type")
    ]


@pytest.mark.parametrize(
    ("form", "number", "microseconds"),
    [
        ("epoch_s", 1_759_235_696, 1_759_235_696_000_000),
        ("epoch_s", 1_759_235_696.123456, 1_759_235_696_123_456),
        ("epoch_ms", 1_759_235_696_123, 1_759_235_696_123_000),
        ("epoch_us", 1_759_235_696_123_456, 1_759_235_696_123_456),
    ],
)
def test_epoch_times_are_read(datacenter, form, number, microseconds):
    spec = datacenter.evolve(time={"format": form})
    values = [
        event_bytes(time=number),
        event_bytes(time=str(number)),
        event_bytes(time=True),
        event_bytes(time=1e300),
        event_bytes(time=-(10**30)),
        event_bytes(time=None),
    ]
    decoded = JsonCodec(spec).decode(raw_records(values))
    assert decoded.batch.time.tolist() == [microseconds]
    assert [str(r.reason) for r in decoded.rejects] == [
        *("wrong_type", "wrong_type", "bad_time", "bad_time", "missing_field")
    ]


def test_unknown_fields_are_kept_as_json_text(decode):
    decoded = decode(
        event_bytes(),
        event_bytes(rack="r1", slots=[1, 2.5, {"a": None}]),
        event_bytes(wide=2**70, text='line\u2028 "quoted"\n'),
    )
    first, *others = decoded.batch.attributes.tolist()
    assert first is None
    assert [json.loads(text) for text in others] == [
        {"rack": "r1", "slots": [1, 2.5, {"a": None}]},
        {"wide": 2**70, "text": 'line\u2028 "quoted"\n'},
    ]


def test_no_records_give_an_empty_batch(decode, datacenter):
    decoded = decode()
    assert len(decoded.batch) == 0
    assert list(decoded.batch.columns) == list(datacenter.fields)
    assert decoded.rejects == []
