"""A spec from samples: a first draft that a human then completes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from rtmlops_lib.errors import SpecError
from rtmlops_lib.streams._json import decode_json
from rtmlops_lib.streams._times import TimeFault, parse_iso
from rtmlops_lib.streams.spec import (
    IDENTIFIER,
    RESERVED_COLUMNS,
    FieldType,
    StreamSpec,
    TimeFormat,
)

__all__ = ["infer_spec"]

_TIME_NAME = re.compile(r"(event_?)?(time|timestamp|ts|date|datetime)")
_TIME_PART = re.compile(r"(^|_)(time|timestamp|ts|date|datetime|at)($|_)")
_KEY_NAME = re.compile(r"(^|_)(id|key|name|host|server|device|sensor|service|code)$")
# A float holds integers exactly up to here.
_EXACT = 2**53
# Epochs of the years 2000 to 2100, by format; the three ranges do not overlap.
_EPOCHS = {
    TimeFormat.EPOCH_S: (946_684_800, 4_102_444_800),
    TimeFormat.EPOCH_MS: (946_684_800_000, 4_102_444_800_000),
    TimeFormat.EPOCH_US: (946_684_800_000_000, 4_102_444_800_000_000),
}


def infer_spec(name: str, topic: str, values: Sequence[bytes]) -> StreamSpec:
    """Propose a spec for a topic from some of its values.

    The time is the field whose every value is an instant, best by name; the key is
    the string that is there always, best by name, then the one that varies least.
    Numbers become ``number``, also where all samples are whole, unless a float could
    not hold them. Bounds stay open. Fields of mixed type, of nested values, or whose
    name no column may have are left to the attributes.

    Parameters
    ----------
    name : str
        Name of the stream, and of its table.
    topic : str
        Its Kafka topic.
    values : sequence of bytes
        Record values; those that are no JSON objects are passed over.

    Raises
    ------
    SpecError
        When there is no usable sample, time or key; its remedy says what to do.

    Examples
    --------
    >>> spec = infer_spec("trips", "taxi-trips", [
    ...     b'{"ts": "2025-09-30T12:00:00Z", "taxi_id": "t1", "fare": 7.5}',
    ...     b'{"ts": "2025-09-30T12:00:01Z", "taxi_id": "t2", "fare": 9, "tip": 1}',
    ... ])
    >>> spec.time.field, spec.partition_key, spec.identity
    ('ts', 'taxi_id', ('taxi_id', 'ts'))
    >>> {name: (str(f.type), f.required) for name, f in spec.fields.items()}
    {'taxi_id': ('string', True), 'fare': ('number', True), 'tip': ('number', False)}
    """
    events = _objects(values)
    if not events:
        raise SpecError(
            f"topic {topic!r}: none of {len(values)} samples is a JSON object",
            remedy="send some events first, or write the spec by hand",
        )
    columns: dict[str, list[Any]] = {}
    for event in events:
        for field, value in event.items():
            usable = IDENTIFIER.fullmatch(field) and field not in RESERVED_COLUMNS
            if value is not None and usable:
                columns.setdefault(field, []).append(value)
    complete = {f: c for f, c in columns.items() if len(c) == len(events)}
    time_field, time_format = _time_field(topic, complete)
    fields: dict[str, dict[str, Any]] = {}
    for field, column in columns.items():
        kind = _type_of(column)
        if field != time_field and kind is not None:
            fields[field] = {"type": kind, "required": field in complete}
    key = _key_field(topic, fields, complete)
    return StreamSpec.from_dict(
        {
            "name": name,
            "topic": topic,
            "table": name,
            "time": {"field": time_field, "format": time_format},
            "partition_key": key,
            "series_key": [key],
            "identity": [key, time_field],
            "fields": fields,
        },
        source=f"the spec inferred from topic {topic!r}",
    )


def _objects(values: Sequence[bytes]) -> list[dict[str, Any]]:
    events = []
    for value in values:
        try:
            event = decode_json(value)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def _time_field(topic: str, columns: dict[str, list[Any]]) -> tuple[str, TimeFormat]:
    """Return the field that is the event's time, and how it is written."""
    found: list[tuple[int, str, TimeFormat]] = []
    naive: list[str] = []
    for field, column in columns.items():
        if _TIME_NAME.fullmatch(field):
            rank = 0
        else:
            rank = 1 if _TIME_PART.search(field) else 2
        kinds = set(map(type, column))
        if kinds == {str}:
            faults = set(parse_iso(column)[1].tolist())
            if faults == {TimeFault.NONE}:
                found.append((rank, field, TimeFormat.ISO8601))
            elif TimeFault.NAIVE in faults:
                naive.append(field)
        elif kinds <= {int, float} and rank < 2:  # many a count looks like an epoch
            for form, (low, high) in _EPOCHS.items():
                if low <= min(column) and max(column) < high:
                    found.append((rank, field, form))
    if found:
        _, field, form = min(found, key=lambda item: item[0])
        return field, form
    if naive:
        raise SpecError(
            f"topic {topic!r}: the times in {naive[0]!r} have no offset from UTC",
            remedy="let the producer write them with Z or an offset such as +00:00",
        )
    raise SpecError(
        f"topic {topic!r}: no field is an instant in all samples; found "
        f"{', '.join(sorted(columns)) or 'no field that all have'}",
        remedy="events need a time: ISO 8601 with an offset, or a Unix epoch in a "
        "field called time, timestamp or ts",
    )


def _key_field(
    topic: str, fields: dict[str, dict[str, Any]], columns: dict[str, list[Any]]
) -> str:
    strings = [
        field
        for field, made in fields.items()
        if made["type"] is FieldType.STRING and made["required"]
    ]
    if not strings:
        raise SpecError(
            f"topic {topic!r}: no string field is there in all samples to be the key",
            remedy="events need to say what they are about, such as a device's name "
            "as a string",
        )

    def fitness(field: str) -> tuple[bool, int]:
        return not _KEY_NAME.search(field), len(set(columns[field]))

    return min(strings, key=fitness)


def _type_of(column: list[Any]) -> FieldType | None:
    kinds = set(map(type, column))
    if kinds == {bool}:
        return FieldType.BOOLEAN
    if kinds == {str}:
        instants = not parse_iso(column)[1].any()
        return FieldType.TIME if instants else FieldType.STRING
    if kinds <= {int, float}:
        whole = kinds == {int}
        large = whole and _EXACT < max(map(abs, column)) < 2**63
        return FieldType.INTEGER if large else FieldType.NUMBER
    return None
