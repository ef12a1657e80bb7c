"""The way from records to columns.

All records go through one path together. What is odd about a record is found by
looking at a whole column (the set of its types, its smallest value); only when
something is odd are the rows looked at one by one, to find and name the odd ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.streams._fields import Faults, read_column, read_time
from rtmlops_lib.streams._json import MAX_DEPTH, is_deeper_than
from rtmlops_lib.streams._parse import EventParser, Events
from rtmlops_lib.streams.batch import ColumnBatch
from rtmlops_lib.streams.raw import RawRecords
from rtmlops_lib.streams.reasons import Reason, Reject
from rtmlops_lib.streams.spec import StreamSpec

__all__ = ["decode_records"]


def decode_records(
    spec: StreamSpec, parser: EventParser, records: RawRecords
) -> tuple[ColumnBatch, list[Reject]]:
    """Return the valid events as columns, and what is wrong with the others."""
    if not len(records):
        return ColumnBatch.empty(spec), []
    broken: dict[int, Reject] = {}
    events = parser.parse(records, broken)
    rows = events.rows
    if not rows:
        return ColumnBatch.empty(spec), [broken[row] for row in sorted(broken)]
    timestamps = np.array(records.timestamps, np.int64)
    offsets = np.array(records.offsets, np.int64)
    if broken:
        kept = np.array(rows, np.intp)
        timestamps, offsets = timestamps[kept], offsets[kept]

    # From here on, places count the records that are objects.
    faults = Faults()
    times = events.column(spec.time.field)
    time = read_time(spec.time, times, timestamps, faults, spec.max_age_seconds)
    columns: dict[str, NDArray[Any]] = {}
    nulls: dict[str, NDArray[np.bool_]] = {}
    keys = {spec.partition_key, *spec.series_key, *spec.identity}
    for name, field in spec.fields.items():
        limit = spec.max_key_bytes if name in keys else None
        values = events.column(name)
        columns[name], absent = read_column(name, field, values, limit, faults)
        if absent is not None:
            nulls[name] = absent
    batch = ColumnBatch(
        spec=spec,
        time=time,
        columns=columns,
        partition=np.full(len(rows), records.partition, np.int32),
        offset=offsets,
        attributes=_attributes(events, faults),
        nulls=nulls,
    )
    if faults.rows:
        for place, (reason, detail) in faults.rows.items():
            broken[rows[place]] = Reject(rows[place], reason, detail)
        whole = np.ones(len(rows), np.bool_)
        whole[list(faults.rows)] = False
        batch = _tidied(batch.take(whole))
    return batch, [broken[row] for row in sorted(broken)]


def _attributes(events: Events, faults: Faults) -> NDArray[np.object_] | None:
    """Return what no field took, as JSON text; None for an event without."""
    text = events.unknown_lines()
    if not text:
        return None
    # Only nested values come behind a bracket or, as a member, behind ":{".
    if "[" in text or ":{" in text:
        for row, values in enumerate(events.unknown_values()):
            if is_deeper_than(values, MAX_DEPTH):
                detail = f"expected at most {MAX_DEPTH} levels of nesting"
                faults.add(row, Reason.TOO_DEEP, detail)
    # Not splitlines, which also splits at U+2028 and its like.
    lines: list[str | None] = list(text.split("\n"))
    lines.pop()  # behind the last line's end
    if "{}\n" in text:
        lines = [None if line == "{}" else line for line in lines]
    attributes = np.empty(len(lines), object)
    attributes[:] = lines
    return attributes


def _tidied(batch: ColumnBatch) -> ColumnBatch:
    """Drop masks and attributes that only refused events had."""
    batch.nulls = {name: mask for name, mask in batch.nulls.items() if mask.any()}
    attributes = batch.attributes
    if attributes is not None and not any(text is not None for text in attributes):
        batch.attributes = None
    return batch
