"""The way from records to columns.

All records go through one path together. What is odd about a record is found by
looking at a whole column (the set of its types, its smallest value); only when
something is odd are the rows looked at one by one, to find and name the odd ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.streams._fields import Faults, read_column, read_time
from rtmlops_lib.streams._json import (
    MAX_DEPTH,
    contains_nul,
    decode_fault,
    decode_json,
    is_deeper_than,
    shown,
)
from rtmlops_lib.streams.batch import ColumnBatch
from rtmlops_lib.streams.raw import RawRecords
from rtmlops_lib.streams.reasons import Reason, Reject
from rtmlops_lib.streams.spec import StreamSpec

__all__ = ["decode_records"]

_encode_lines = msgspec.json.Encoder().encode_lines
Event = dict[str, Any]


def decode_records(
    spec: StreamSpec, records: RawRecords
) -> tuple[ColumnBatch, list[Reject]]:
    """Return the valid events as columns, and what is wrong with the others."""
    if not len(records):
        return ColumnBatch.empty(spec), []
    broken: dict[int, Reject] = {}
    rows, events = _parse(spec, records, broken)
    timestamps = np.array(records.timestamps, np.int64)
    offsets = np.array(records.offsets, np.int64)
    if broken:
        kept = np.array(rows, np.intp)
        timestamps, offsets = timestamps[kept], offsets[kept]

    # From here on, places count the records that are objects.
    faults = Faults()
    pulled = repeat(spec.time.field), repeat(None)
    texts = list(map(dict.pop, events, *pulled))
    time = read_time(spec.time, texts, timestamps, faults)
    columns: dict[str, NDArray[Any]] = {}
    nulls: dict[str, NDArray[np.bool_]] = {}
    keys = {spec.partition_key, *spec.series_key, *spec.identity}
    for name, field in spec.fields.items():
        values = list(map(dict.pop, events, repeat(name), repeat(None)))
        limit = spec.max_key_bytes if name in keys else None
        columns[name], absent = read_column(name, field, values, limit, faults)
        if absent is not None:
            nulls[name] = absent
    batch = ColumnBatch(
        spec=spec,
        time=time,
        columns=columns,
        partition=np.full(len(events), records.partition, np.int32),
        offset=offsets,
        attributes=_attributes(events, faults),
        nulls=nulls,
    )
    if faults.rows:
        for place, (reason, detail) in faults.rows.items():
            broken[rows[place]] = Reject(rows[place], reason, detail)
        whole = np.ones(len(events), np.bool_)
        whole[list(faults.rows)] = False
        batch = _tidied(batch.take(whole))
    return batch, [broken[row] for row in sorted(broken)]


def _parse(
    spec: StreamSpec, records: RawRecords, broken: dict[int, Reject]
) -> tuple[Sequence[int], list[Event]]:
    """Return the records that are objects, and what they hold; note the others."""
    values = records.values
    _check_sizes(spec, records, broken)
    parsed: list[Any] = []
    # `extend` keeps what came before an error, and the iterator goes on behind it:
    # a broken record costs its own exception, and the others nothing.
    texts: Iterable[Any] = values
    if broken:
        texts = [b"{}" if row in broken else v for row, v in enumerate(values)]
    source = map(decode_json, texts)
    while True:
        try:
            parsed.extend(source)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            row = len(parsed)
            broken[row] = Reject(row, *decode_fault(values[row] or b"", error))
            parsed.append(None)
        else:
            break
    if set(map(type, parsed)) != {dict}:
        for row, value in enumerate(parsed):
            if type(value) is not dict and row not in broken:
                detail = f"expected an object, found {shown(value)}"
                broken[row] = Reject(row, Reason.NOT_OBJECT, detail)
    _check_nul(values, parsed, broken)
    if not broken:
        return range(len(parsed)), parsed
    rows = [row for row in range(len(parsed)) if row not in broken]
    return rows, [parsed[row] for row in rows]


def _check_sizes(
    spec: StreamSpec, records: RawRecords, broken: dict[int, Reject]
) -> None:
    values, keys = records.values, records.keys
    limit = spec.max_value_bytes
    if None in values or _longest(values) > limit:
        for row, value in enumerate(values):
            if value is None:
                broken[row] = Reject(row, Reason.TOMBSTONE, "the value is null")
            elif len(value) > limit:
                detail = f"expected at most {limit} bytes, found {len(value)}"
                broken[row] = Reject(row, Reason.TOO_LARGE, detail)
    limit = spec.max_key_bytes
    if _longest(keys) > limit:
        for row, key in enumerate(keys):
            if key is not None and len(key) > limit and row not in broken:
                detail = f"record key: expected at most {limit} bytes, found {len(key)}"
                broken[row] = Reject(row, Reason.KEY_TOO_LONG, detail)


def _longest(texts: Sequence[bytes | None]) -> int:
    if None in texts:
        return max(map(len, filter(None, texts)), default=0)
    return max(map(len, cast("Sequence[bytes]", texts)))


def _check_nul(
    values: Sequence[bytes | None], parsed: list[Any], broken: dict[int, Reject]
) -> None:
    """Refuse NUL, which JSON can only write as an escape, and PostgreSQL not hold."""
    joined = b"".join(filter(None, values))
    if b"\\" not in joined or b"\\u0000" not in joined:
        return
    for row, value in enumerate(values):
        if row not in broken and value is not None and b"\\u0000" in value:
            if contains_nul(parsed[row]):
                detail = "a string contains the character U+0000"
                broken[row] = Reject(row, Reason.NUL, detail)


def _attributes(events: list[Event], faults: Faults) -> NDArray[np.object_] | None:
    """Return what no field took, as JSON text; None for an event without."""
    if not any(events):
        return None
    text = _encode_lines(events).decode()
    # Only nested values come behind a bracket or, as a member, behind ":{".
    if "[" in text or ":{" in text:
        for row, event in enumerate(events):
            if is_deeper_than(event, MAX_DEPTH):
                detail = f"expected at most {MAX_DEPTH} levels of nesting"
                faults.add(row, Reason.TOO_DEEP, detail)
    lines: list[str | None] = list(text.split("\n"))
    lines.pop()  # behind the last line's end
    if "{}\n" in text:
        lines = [None if line == "{}" else line for line in lines]
    attributes = np.empty(len(events), object)
    attributes[:] = lines
    return attributes


def _tidied(batch: ColumnBatch) -> ColumnBatch:
    """Drop masks and attributes that only refused events had."""
    batch.nulls = {name: mask for name, mask in batch.nulls.items() if mask.any()}
    attributes = batch.attributes
    if attributes is not None and not any(text is not None for text in attributes):
        batch.attributes = None
    return batch
