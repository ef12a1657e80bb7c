"""Bytes to columns, or a reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rtmlops_lib.streams.batch import ColumnBatch
from rtmlops_lib.streams.spec import StreamSpec

__all__ = ["Decoded", "JsonCodec", "RawRecords", "Reject", "Reason"]

Headers = Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class RawRecords:
    """Consecutive records of one partition, as parallel lists of equal length.

    ``timestamps`` are the records' own, in milliseconds since 1970 (-1: none).
    """

    topic: str
    partition: int
    offsets: list[int]
    timestamps: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers]

    def __len__(self) -> int:
        return len(self.offsets)


class Reason(StrEnum):
    """Why a record is no event of the stream."""

    TOMBSTONE = "tombstone"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NUL = "nul_character"
    KEY_TOO_LONG = "key_too_long"
    MISSING = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_BOUNDS = "out_of_bounds"
    BAD_TIME = "bad_time"
    NAIVE_TIME = "naive_time"
    FUTURE = "too_far_in_future"
    TOO_OLD = "too_old"
    CONFLICT = "conflict"
    REFUSED = "refused_by_store"


@dataclass(slots=True)
class Reject:
    """A record that is no event: where it stands in its ``RawRecords``, and why."""

    index: int
    reason: Reason
    detail: str


@dataclass(slots=True)
class Decoded:
    """What a codec made of records: the valid events, and the rest with reasons."""

    batch: ColumnBatch
    rejects: list[Reject]


class JsonCodec:
    """JSON objects, one an event."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec

    def decode(self, records: RawRecords) -> Decoded:
        """Turn records into columns; raises nothing, whatever the bytes."""
        raise NotImplementedError

    def encode(self, batch: ColumnBatch) -> tuple[list[bytes], list[bytes]]:
        """Return keys and values, one of each an event."""
        raise NotImplementedError
