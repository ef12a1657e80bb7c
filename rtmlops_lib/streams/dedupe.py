"""Equal identities: identical repeats and conflicts, told apart."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.streams.batch import ColumnBatch
from rtmlops_lib.streams.spec import FieldType

__all__ = ["Deduplicated", "duplicate_rows", "same_attributes", "same_content"]

_HUGE = 10**308
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads nearby times


class Deduplicated(NamedTuple):
    """Rows of a batch, each an index array in ascending order.

    ``keep`` has one row an identity, the first; ``duplicates`` repeat it exactly,
    ``conflicts`` say something else of the same identity.
    """

    keep: NDArray[np.intp]
    duplicates: NDArray[np.intp]
    conflicts: NDArray[np.intp]


def duplicate_rows(batch: ColumnBatch) -> Deduplicated:
    """Find the rows whose identity the batch has already had.

    Examples
    --------
    >>> from rtmlops_lib.streams import JsonCodec, RawRecords, builtin_specs
    >>> event = (
    ...     b'{"time": "2025-09-30T12:34:56Z", "service": "web", "server_id": "srv-1",'
    ...     b' "request_rate": 120, "latency_p95_ms": 85.5, "error_rate": 0.01}'
    ... )
    >>> values = [event, event.replace(b"120", b"120.0"), event.replace(b"120", b"9")]
    >>> records = RawRecords("t", 0, [0, 1, 2], [-1] * 3, [None] * 3, values, [[]] * 3)
    >>> batch = JsonCodec(builtin_specs()["services"]).decode(records).batch
    >>> [rows.tolist() for rows in duplicate_rows(batch)]
    [[0], [1], [2]]
    """
    if _all_differ(batch):
        none = np.empty(0, np.intp)
        return Deduplicated(np.arange(len(batch), dtype=np.intp), none, none)
    identities = batch.identities()
    first: dict[tuple[Any, ...], int] = {}
    keep: list[int] = []
    duplicates: list[int] = []
    conflicts: list[int] = []
    for row, identity in enumerate(identities):
        kept = first.setdefault(identity, row)
        if kept == row:
            keep.append(row)
        elif same_content(batch, kept, batch, row):
            duplicates.append(row)
        else:
            conflicts.append(row)
    return Deduplicated(
        np.array(keep, np.intp),
        np.array(duplicates, np.intp),
        np.array(conflicts, np.intp),
    )


def _all_differ(batch: ColumnBatch) -> bool:
    """Return whether the identities' hashes all differ, hence the identities too."""
    mixed = batch.time.astype(np.uint64)
    for name in batch.spec.identity_fields:
        found = map(hash, batch.columns[name].tolist())
        hashes = np.fromiter(found, np.int64, len(batch)).view(np.uint64)
        mixed = mixed * _ODD + hashes
    mixed.sort()
    return bool((mixed[1:] != mixed[:-1]).all())


def same_content(one: ColumnBatch, i: int, other: ColumnBatch, j: int) -> bool:
    """Return whether row ``i`` of one batch says the same as row ``j`` of another.

    Compared are time, typed fields (absent equals absent) and attributes as JSON;
    where the rows stood in Kafka is not. Both batches are of one spec.
    """
    if one.time[i] != other.time[j]:
        return False
    for name, field in one.spec.fields.items():
        absent = name in one.nulls and bool(one.nulls[name][i])
        if absent != (name in other.nulls and bool(other.nulls[name][j])):
            return False
        a, b = one.columns[name][i], other.columns[name][j]
        if absent or a == b:
            continue
        # NaN stands for an absent number, and differs from itself.
        if field.type is FieldType.NUMBER and a != a and b != b:
            continue
        return False
    return same_attributes(
        None if one.attributes is None else one.attributes[i],
        None if other.attributes is None else other.attributes[j],
    )


def same_attributes(one: str | None, other: str | None) -> bool:
    """Return whether two JSON texts say the same; None is no attributes.

    The order of keys does not matter, nor how a number is written: 1 is 1.0.

    Examples
    --------
    >>> same_attributes('{"a": 1, "b": true}', '{"b":true,"a":1.0}')
    True
    >>> same_attributes('{"a": 1}', '{"a": true}')
    False
    """
    if one == other:
        return True
    if one is None or other is None:
        return False
    return _same_json(json.loads(one), json.loads(other))


def _same_json(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(_same_json(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)
            and all(map(_same_json, one, other))
        )
    # Python holds true and 1 for equal; JSON does not.
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int) and isinstance(other, float):
        one, other = other, one
    if isinstance(one, float) and isinstance(other, int):
        # PostgreSQL writes 1e23 out as an integer, which no float equals exactly.
        return abs(other) < _HUGE and one == float(other)
    return bool(one == other)
