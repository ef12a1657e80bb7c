"""The way from columns to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.streams._times import format_iso
from rtmlops_lib.streams.batch import ColumnBatch
from rtmlops_lib.streams.spec import FieldType, TimeFormat

__all__ = ["encode_batch"]

_encode_lines = msgspec.json.Encoder().encode_lines


def encode_batch(batch: ColumnBatch) -> tuple[list[bytes], list[bytes]]:
    """Return each event's record key and value."""
    spec = batch.spec
    names = (spec.time.field, *spec.fields)
    columns: list[Sequence[Any]] = [_times(batch.time, spec.time.format)]
    for name, field in spec.fields.items():
        column = batch.columns[name]
        if field.type is FieldType.TIME:
            values: list[Any] = format_iso(column)
        else:
            values = column.tolist()
        columns.append(
            _without_absent(field.type, column, values, batch.nulls.get(name))
        )
    events = map(_event_type(names), *columns)
    # A list: msgspec 0.22 never lets go of an iterator, nor of the columns behind it.
    values = _encode_lines(list(events)).split(b"\n")[:-1]
    if batch.attributes is not None:
        values = [
            value if text is None else b"%b,%b" % (value[:-1], text.encode()[1:])
            for value, text in zip(values, batch.attributes.tolist(), strict=True)
        ]
    return list(map(str.encode, batch.columns[spec.partition_key])), values


@lru_cache(maxsize=64)
def _event_type(names: tuple[str, ...]) -> type[msgspec.Struct]:
    # A struct encodes several times faster than a dict, and leaves out what is UNSET.
    fields = [(name, Any | msgspec.UnsetType, msgspec.UNSET) for name in names]
    return msgspec.defstruct("Event", fields, gc=False)


def _times(times: NDArray[np.int64], form: TimeFormat) -> list[Any]:
    if form is TimeFormat.ISO8601:
        return format_iso(times)
    tick = {TimeFormat.EPOCH_S: 1_000_000, TimeFormat.EPOCH_MS: 1_000}.get(form, 1)
    return [
        time // tick if time % tick == 0 else time / tick for time in times.tolist()
    ]


def _without_absent(
    kind: FieldType,
    column: NDArray[Any],
    values: Sequence[Any],
    absent: NDArray[np.bool_] | None,
) -> Sequence[Any]:
    if kind is FieldType.NUMBER:
        absent = np.isnan(column)
    elif kind is FieldType.STRING and None in values:
        absent = np.array([value is None for value in values])
    if absent is None or not absent.any():
        return values
    return [
        msgspec.UNSET if gone else value
        for value, gone in zip(values, absent.tolist(), strict=True)
    ]
