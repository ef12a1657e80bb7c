"""Whether two events of equal identity say the same."""

from __future__ import annotations

import json
from typing import Any

from rtmlops_lib.streams import ColumnBatch, FieldType

__all__ = ["same_attributes", "same_content"]

_HUGE = 10**308


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
