"""Why a record is no event, and the record of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Reason", "Reject"]


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
