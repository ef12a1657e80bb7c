"""From bytes to parsed events: structs where their fields are known, else dicts.

A struct with a slot for each field decodes twice as fast as a dict, but has no
place for a field it does not know. So the parser reads a batch into structs, learns
the names of the first event that has unknown ones, and begins again; events of ever
other shapes are read into dicts. Both give the same events.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, cast

import msgspec

from rtmlops_lib.streams._json import contains_nul, decode_fault, decode_json, shown
from rtmlops_lib.streams.raw import RawRecords
from rtmlops_lib.streams.reasons import Reason, Reject
from rtmlops_lib.streams.spec import StreamSpec

__all__ = ["EventParser", "Events"]

# Beyond these many unknown names a struct with all of them gains nothing.
_MAX_LEARNED = 8
# What a struct takes for a field's name; a few odd names must not end the fast way.
_LEARNABLE = re.compile(r"[A-Za-z0-9_.: -]{1,64}")
_MAX_SETBACKS = 32
# A batch of more shapes than this is read into dicts.
_MAX_RESTARTS = 3
# Sorted, so that the text of the same attributes is the same whichever way they came.
_encode_lines = msgspec.json.Encoder(order="sorted").encode_lines
_encode_flat_lines = msgspec.json.Encoder().encode_lines
Broken = dict[int, Reject]


class Events(ABC):
    """Parsed objects, and the places of their records.

    ``rows[i]`` is where the record of event ``i`` stood in its ``RawRecords``.
    """

    rows: Sequence[int]

    @abstractmethod
    def column(self, name: str) -> list[Any]:
        """Return each event's value of a field, None where absent; ask only once."""

    @abstractmethod
    def unknown_lines(self) -> str:
        """Return what is in no field: a line of JSON each, "" where all have none.

        To be called when every column has been asked for.
        """

    @abstractmethod
    def unknown_values(self) -> Iterable[list[Any]]:
        """Return each event's values that are in no field."""


class _Dicts(Events):
    """Events of any shape; a column is taken out of them."""

    def __init__(self, rows: Sequence[int], events: list[dict[str, Any]]) -> None:
        self.rows = rows
        self._events = events

    def column(self, name: str) -> list[Any]:
        return list(map(dict.pop, self._events, repeat(name), repeat(None)))

    def unknown_lines(self) -> str:
        return _encode_lines(self._events).decode() if any(self._events) else ""

    def unknown_values(self) -> Iterable[list[Any]]:
        return (list(event.values()) for event in self._events)


class _Structs(Events):
    """Events of a known shape."""

    def __init__(self, rows: Sequence[int], events: list[Any], shape: _Shape) -> None:
        self.rows = rows
        self._events = events
        self._shape = shape

    def column(self, name: str) -> list[Any]:
        return list(map(self._shape.getters[name], self._events))

    def _unknown_columns(self) -> list[list[Any]]:
        shape = self._shape
        return [list(map(shape.getters[name], self._events)) for name in shape.unknown]

    def unknown_lines(self) -> str:
        columns = self._unknown_columns()
        types = set().union(*(map(type, column) for column in columns))
        if types <= {msgspec.UnsetType}:
            return ""
        # The slots are in order already; only what is nested needs sorting.
        encode = _encode_lines if types & {dict, list} else _encode_flat_lines
        # A list: msgspec 0.22 never lets go of an iterator, nor of the columns behind.
        return encode(list(map(self._shape.rest, *columns))).decode()

    def unknown_values(self) -> Iterable[list[Any]]:
        return map(list, zip(*self._unknown_columns(), strict=True))


class _Shape:
    """Struct types for events with the given fields."""

    def __init__(self, known: tuple[str, ...], unknown: tuple[str, ...]) -> None:
        # Slots are numbered, because a field's name may be anything.
        slots = {name: f"f{i}" for i, name in enumerate((*known, *unknown))}
        self.unknown = unknown
        self.getters = {name: attrgetter(slot) for name, slot in slots.items()}
        absent = [(slots[name], Any, None) for name in known]
        unset = [
            (slots[name], Any | msgspec.UnsetType, msgspec.UNSET) for name in unknown
        ]
        rename = {slot: name for name, slot in slots.items()}
        # Without garbage collection: parsed JSON holds no cycles.
        event = msgspec.defstruct(
            "Event",
            [*absent, *unset],
            rename=rename,
            forbid_unknown_fields=True,
            gc=False,
        )
        self.rest = msgspec.defstruct("Rest", unset, rename=rename, gc=False)
        self.decode = msgspec.json.Decoder(event).decode


class EventParser:
    """Parses batches of one stream; remembers which unknown fields it has seen."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self._known = (spec.time.field, *spec.fields)
        self._shape: _Shape | None = _Shape(self._known, ())
        self._setbacks = 0

    def parse(self, records: RawRecords, broken: Broken) -> Events:
        """Return the records that are objects; ``broken`` gains the others."""
        _check_sizes(self._spec, records, broken)
        values: list[Any] = list(records.values)
        for row in broken:
            values[row] = b"{}"
        for _ in range(_MAX_RESTARTS):
            if self._shape is None:
                break
            events = self._parse_structs(self._shape, values, broken)
            if isinstance(events, Events):
                return events
            if not self._learn([decode_json(values[events])]):
                break
        return self._parse_dicts(values, broken)

    def _parse_structs(
        self, shape: _Shape, values: list[bytes], broken: Broken
    ) -> Events | int:
        """Return the events, or the row of one that has a field without a slot."""
        faults: Broken = {}
        parsed: list[Any] = []
        # `extend` keeps what came before an error, and the iterator goes on behind
        # it: a broken record costs its own exception, and the others nothing.
        source = map(shape.decode, values)
        while True:
            try:
                parsed.extend(source)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                row = len(parsed)
                fault = _fault_of(row, values[row])
                if fault is None:
                    return row
                faults[row] = fault
                parsed.append(None)
            else:
                break
        for row, fault in faults.items():
            broken.setdefault(row, fault)
        _check_nul(values, broken)
        return _Structs(*_unbroken(parsed, broken), shape)

    def _parse_dicts(self, values: list[bytes], broken: Broken) -> Events:
        parsed: list[Any] = []
        source = map(decode_json, values)
        while True:
            try:
                parsed.extend(source)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                row = len(parsed)
                reason, detail = decode_fault(values[row], error)
                broken.setdefault(row, Reject(row, reason, detail))
                parsed.append(None)
            else:
                break
        if set(map(type, parsed)) != {dict}:
            for row, value in enumerate(parsed):
                if type(value) is not dict:
                    broken.setdefault(row, _no_object(row, value))
        _check_nul(values, broken)
        rows, events = _unbroken(parsed, broken)
        if self._shape is not None and not self._learn(events):
            self._setbacks += 1
            if self._setbacks >= _MAX_SETBACKS:
                self._shape = None
        return _Dicts(rows, events)

    def _learn(self, events: list[dict[str, Any]]) -> bool:
        """Give the struct slots for unknown fields; return whether it has new ones."""
        if self._shape is None:
            return False
        names: set[str] = set().union(self._shape.unknown, *events)
        unknown = names.difference(self._known)
        unknown = set(filter(_LEARNABLE.fullmatch, unknown))
        if not len(self._shape.unknown) < len(unknown) <= _MAX_LEARNED:
            return False
        self._shape = _Shape(self._known, tuple(sorted(unknown)))
        return True


def _fault_of(row: int, value: bytes) -> Reject | None:
    """Return what is wrong with JSON text, None when it is an object."""
    try:
        parsed = decode_json(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Reject(row, *decode_fault(value, error))
    return None if type(parsed) is dict else _no_object(row, parsed)


def _no_object(row: int, value: Any) -> Reject:
    detail = f"expected an object, found {shown(value)}"
    return Reject(row, Reason.NOT_OBJECT, detail)


def _unbroken(parsed: list[Any], broken: Broken) -> tuple[Sequence[int], list[Any]]:
    if not broken:
        return range(len(parsed)), parsed
    rows = [row for row in range(len(parsed)) if row not in broken]
    return rows, [parsed[row] for row in rows]


def _check_sizes(spec: StreamSpec, records: RawRecords, broken: Broken) -> None:
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


def _check_nul(values: list[bytes], broken: Broken) -> None:
    """Refuse NUL, which JSON can only write as an escape, and PostgreSQL not hold."""
    joined = b"".join(values)
    if b"\\" not in joined or b"\\u0000" not in joined:
        return
    for row, value in enumerate(values):
        if row not in broken and b"\\u0000" in value:
            if contains_nul(decode_json(value)):
                detail = "a string contains the character U+0000"
                broken[row] = Reject(row, Reason.NUL, detail)
