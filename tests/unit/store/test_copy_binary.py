"""The binary COPY encoder against an independent reading of the format."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.store.postgres.copy_binary import encode
from rtmlops_lib.streams import ColumnBatch, StreamSpec

SPEC = StreamSpec.from_dict(
    {
        "name": "all_types",
        "topic": "t",
        "table": "all_types",
        "partition_key": "key",
        "series_key": "key",
        "identity": ["key", "time"],
        "fields": {
            "key": {"type": "string", "required": True},
            "number": {"type": "number"},
            "integer": {"type": "integer"},
            "flag": {"type": "boolean"},
            "instant": {"type": "time"},
            "note": {"type": "string"},
        },
    }
)
INT64 = st.integers(-(2**63), 2**63 - 1)
MICROS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "time": MICROS,
            "key": st.text(min_size=1),
            "number": st.none() | st.floats(allow_nan=False),
            "integer": st.none() | INT64,
            "flag": st.none() | st.booleans(),
            "instant": st.none() | MICROS,
            "note": st.none() | st.text(),
            "attributes": st.none() | st.sampled_from(['{"a": 1}', '{"ä": "€😀"}']),
            "partition": st.integers(-1, 2**31 - 1),
            "offset": st.integers(-1, 2**63 - 1),
        }
    ),
    min_size=1,
    max_size=20,
)


def batch_of(rows: list[dict]) -> ColumnBatch:
    def column(name, dtype, fill):
        return np.array([fill if r[name] is None else r[name] for r in rows], dtype)

    def text(name):
        values = np.empty(len(rows), object)
        values[:] = [r[name] for r in rows]
        return values

    nulls = {n: [r[n] is None for r in rows] for n in ("integer", "flag", "instant")}
    return ColumnBatch(
        spec=SPEC,
        time=column("time", np.int64, 0),
        columns={
            "key": text("key"),
            "number": column("number", np.float64, np.nan),
            "integer": column("integer", np.int64, 0),
            "flag": column("flag", np.bool_, False),
            "instant": column("instant", np.int64, 0),
            "note": text("note"),
        },
        nulls={n: np.array(m) for n, m in nulls.items() if any(m)},
        partition=column("partition", np.int32, 0),
        offset=column("offset", np.int64, 0),
        attributes=(text("attributes") if any(r["attributes"] for r in rows) else None),
    )


def parse(names: list[str], data: bytes) -> list[dict]:
    """Read the format value by value, as its documentation tells."""
    assert data[:19] == b"PGCOPY\n\xff\r\n\x00" + bytes(8)
    at, rows = 19, []
    while (count := struct.unpack_from(">h", data, at)[0]) != -1:
        assert count == len(names)
        at += 2
        row = {}
        for name in names:
            (length,) = struct.unpack_from(">i", data, at)
            at += 4
            row[name] = None if length < 0 else data[at : at + length]
            at += max(length, 0)
        rows.append(row)
    assert at + 2 == len(data)
    return rows


def expected(row: dict) -> dict[str, bytes | None]:
    def packed(kind, value, shift=0):
        return None if value is None else struct.pack(kind, value - shift)

    epoch = 946_684_800_000_000
    note, attributes = row["note"], row["attributes"]
    return {
        "time": packed(">q", row["time"], epoch),
        "kafka_partition": packed(">i", row["partition"]),
        "kafka_offset": packed(">q", row["offset"]),
        "key": row["key"].encode(),
        "number": packed(">d", row["number"]),
        "integer": packed(">q", row["integer"]),
        "flag": None if row["flag"] is None else bytes([row["flag"]]),
        "instant": packed(">q", row["instant"], epoch),
        "note": None if note is None else note.encode(),
        "attributes": None if attributes is None else b"\x01" + attributes.encode(),
    }


@given(ROWS)
def test_every_value_is_where_the_format_puts_it(rows: list[dict]) -> None:
    names, data = encode(batch_of(rows))
    found = parse(names, data)
    for row, wanted in zip(found, map(expected, rows), strict=True):
        assert row == {name: wanted[name] for name in names}
        assert all(wanted[name] is None for name in wanted.keys() - set(names))


@pytest.mark.parametrize("size", [1, 2, 5_000])
def test_a_text_beyond_the_cache_comes_out_whole(size: int) -> None:
    row = {
        "time": 0,
        "key": "k",
        "number": 1.0,
        "integer": None,
        "flag": None,
        "instant": None,
        "note": None,
        "attributes": None,
        "partition": 0,
        "offset": 0,
    }
    rows = [{**row, "key": f"{i}" * 40} for i in range(size)]
    names, data = encode(batch_of(rows))
    assert [r["key"] for r in parse(names, data)] == [r["key"].encode() for r in rows]
