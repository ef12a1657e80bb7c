"""Columns to PostgreSQL's binary COPY format, without a loop over values.

The format has no escapes: each value goes as its length and its bytes, so there is
nothing in a string that could break out. See "Binary Format" in PostgreSQL's COPY.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.streams import ColumnBatch, FieldType

__all__ = ["encode"]

_HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_TRAILER = b"\xff\xff"
_EPOCH_2000_US = 946_684_800_000_000
_WIRE: dict[FieldType, str] = {
    FieldType.NUMBER: ">f8",
    FieldType.INTEGER: ">i8",
    FieldType.TIME: ">i8",
    FieldType.BOOLEAN: ">u1",
}

Fixed = tuple[str, str, NDArray[Any], NDArray[np.bool_] | None]


def encode(
    batch: ColumnBatch, places: NDArray[np.int64] | None = None
) -> tuple[list[str], bytes]:
    """Return the column names and the bytes of ``COPY (names) FROM STDIN BINARY``.

    Columns without any value are left out: they become NULL by default.

    Parameters
    ----------
    batch : ColumnBatch
        At least one event.
    places : ndarray of int64, optional
        Numbers for a leading column ``place``.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> names, data = encode(ColumnBatch.empty(builtin_specs()["datacenter"]))
    >>> names[:3], len(data)
    (['time', 'kafka_partition', 'kafka_offset'], 21)
    """
    fixed, texts = _columns(batch)
    if places is not None:
        fixed.insert(0, ("place", ">i4", places, None))
    names = [name for name, *_ in fixed] + [name for name, _, _ in texts]
    heads = _heads(fixed, len(names), texts)
    pieces: list[Sequence[bytes]] = [heads]
    for index, (_, values, _) in enumerate(texts):
        if index:
            pieces.append(_slices(_lengths(*texts[index][1:]).tobytes(), 4))
        pieces.append(values)
    rows = heads if len(pieces) == 1 else chain.from_iterable(zip(*pieces, strict=True))
    return names, b"".join((_HEADER, b"".join(rows), _TRAILER))


def _columns(
    batch: ColumnBatch,
) -> tuple[list[Fixed], list[tuple[str, list[bytes], NDArray[np.bool_] | None]]]:
    spec = batch.spec
    fixed: list[Fixed] = [
        (spec.time.field, ">i8", batch.time - _EPOCH_2000_US, None),
        ("kafka_partition", ">i4", batch.partition, None),
        ("kafka_offset", ">i8", batch.offset, None),
    ]
    texts: list[tuple[str, list[bytes], NDArray[np.bool_] | None]] = []
    for name, field in spec.fields.items():
        column = batch.columns[name]
        if field.type is FieldType.STRING:
            values, absent = _utf8(column, b"")
            if absent is None or not absent.all():
                texts.append((name, values, absent))
            continue
        absent = batch.nulls.get(name)
        if field.type is FieldType.NUMBER:
            absent = np.isnan(column)
        elif field.type is FieldType.TIME:
            column = column - _EPOCH_2000_US
        if absent is not None and not absent.any():
            absent = None
        if absent is None or not absent.all():
            fixed.append((name, _WIRE[field.type], column, absent))
    if batch.attributes is not None:
        # jsonb travels as its version (1) and the JSON text.
        values, absent = _utf8(batch.attributes, b"\x01")
        if absent is None or not absent.all():
            texts.append(("attributes", values, absent))
    return fixed, texts


def _utf8(
    column: NDArray[Any], prefix: bytes
) -> tuple[list[bytes], NDArray[np.bool_] | None]:
    # A lone surrogate is no text: pass it on, the server names the row that has it.
    known: dict[str | None, bytes] = {None: b""}
    values = []
    texts: list[str | None] = column.tolist()
    for text in texts:
        data = known.get(text)
        if data is None:
            data = prefix + str(text).encode("utf-8", "surrogatepass")
            if len(known) < 4096 and len(data) < 64:
                known[text] = data
        values.append(data)
    absent = np.fromiter((t is None for t in texts), np.bool_, len(texts))
    return values, absent if absent.any() else None


def _lengths(values: list[bytes], absent: NDArray[np.bool_] | None) -> NDArray[Any]:
    lengths = np.fromiter(map(len, values), ">i4", len(values))
    if absent is not None:
        lengths[absent] = -1
    return lengths


def _heads(
    fixed: list[Fixed],
    n_columns: int,
    texts: list[tuple[str, list[bytes], NDArray[np.bool_] | None]],
) -> list[bytes]:
    # Each row up to and including the length of its first text, as one record.
    layout: list[tuple[str, str]] = [("count", ">i2")]
    for index, (_, wire, _, _) in enumerate(fixed):
        layout += [(f"l{index}", ">i4"), (f"v{index}", wire)]
    if texts:
        layout.append(("text", ">i4"))
    rows = len(fixed[0][2])
    block = np.empty(rows, np.dtype(layout))
    block["count"] = n_columns
    gaps = []
    for index, (_, wire, column, absent) in enumerate(fixed):
        block[f"l{index}"] = np.dtype(wire).itemsize
        block[f"v{index}"] = column
        if absent is not None:
            block[f"l{index}"][absent] = -1
            gaps.append((f"v{index}", absent))
    if texts:
        block["text"] = _lengths(*texts[0][1:])
    width = block.dtype.itemsize
    if not gaps:
        return _slices(block.tobytes(), width)
    kept = np.ones((rows, width), np.bool_)
    lengths = np.full(rows, width)
    for name, absent in gaps:
        kind, start = block.dtype.fields[name][:2]  # type: ignore[index]
        kept[:, start : start + kind.itemsize] = ~absent[:, np.newaxis]
        lengths -= absent * kind.itemsize
    data = block.view(np.uint8).reshape(rows, width)[kept].tobytes()
    ends = np.cumsum(lengths).tolist()
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def _slices(data: bytes, width: int) -> list[bytes]:
    return [data[i : i + width] for i in range(0, len(data), width)]
