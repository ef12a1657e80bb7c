"""One field's values to one array, each type by its own rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.streams._json import shown
from rtmlops_lib.streams._times import MAX_TIME, MIN_TIME, TimeFault, parse_iso
from rtmlops_lib.streams.reasons import Reason
from rtmlops_lib.streams.spec import FieldSpec, FieldType, TimeFormat, TimeSpec

__all__ = ["Faults", "read_column", "read_time"]

_NONE = type(None)
_TICKS = {  # microseconds
    TimeFormat.EPOCH_S: 1_000_000,
    TimeFormat.EPOCH_MS: 1_000,
    TimeFormat.EPOCH_US: 1,
}
# Beyond this a timestamp in milliseconds would overflow as microseconds.
_MAX_TIMESTAMP_MS = 9_000_000_000_000_000


class Faults:
    """The first fault of each row."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[Reason, str]] = {}

    def add(self, row: int, reason: Reason, detail: str) -> None:
        """Note a fault, unless the row has one."""
        self.rows.setdefault(row, (reason, detail))


def read_column(
    name: str,
    field: FieldSpec,
    values: list[Any],
    max_bytes: int | None,
    faults: Faults,
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return a field's column, and where it is absent if the column cannot say.

    Parameters
    ----------
    name : str
        The field's name, for messages.
    field : FieldSpec
        What the values must be.
    values : list, length n
        What was found, None where nothing; odd values are replaced.
    max_bytes : int or None
        Longest string, encoded.
    faults : Faults
        Gains the rows that break the rules.
    """
    reader = _READERS[field.type]
    types = set(map(type, values))
    if not types <= reader.accepts:
        for row, value in enumerate(values):
            if type(value) not in reader.accepts:
                detail = f"{name}: expected {reader.expected}, found {shown(value)}"
                faults.add(row, Reason.WRONG_TYPE, detail)
                values[row] = reader.placeholder
    absent = None
    if types == {_NONE}:
        absent = np.ones(len(values), np.bool_)
    elif _NONE in types:
        absent = np.array([value is None for value in values])
    if absent is not None:
        if field.required:
            for row in np.flatnonzero(absent).tolist():
                detail = f"{name}: expected {reader.expected}, found null or nothing"
                faults.add(row, Reason.MISSING, detail)
    column = reader.read(name, values, absent, faults)
    if field.type is FieldType.STRING:
        if max_bytes is not None:
            _check_lengths(name, values, max_bytes, faults)
        return column, None
    if field.minimum is not None or field.maximum is not None:
        _check_bounds(name, field, column, absent, faults)
    return column, None if field.type is FieldType.NUMBER else absent


def read_time(
    spec: TimeSpec,
    values: list[Any],
    timestamps: NDArray[np.int64],
    faults: Faults,
    max_age_seconds: float | None,
) -> NDArray[np.int64]:
    """Return event times in microseconds, checked against their records' times."""
    epoch = spec.format is not TimeFormat.ISO8601
    accepts = {int, float} if epoch else {str}
    expected = f"a number ({spec.format})" if epoch else "an ISO 8601 time"
    if not set(map(type, values)) <= accepts:
        for row, value in enumerate(values):
            if type(value) in accepts:
                continue
            if value is None:
                detail = f"{spec.field}: expected {expected}, found null or nothing"
                faults.add(row, Reason.MISSING, detail)
            else:
                detail = f"{spec.field}: expected {expected}, found {shown(value)}"
                faults.add(row, Reason.WRONG_TYPE, detail)
            values[row] = 0 if epoch else "1970-01-01T00:00:00Z"
    if epoch:
        times = _read_epochs(spec, values, faults)
    else:
        times = _read_iso(spec.field, values, faults)
    _check_limits(spec, times, timestamps, faults, max_age_seconds)
    return times


def _check_limits(
    spec: TimeSpec,
    times: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    faults: Faults,
    max_age_seconds: float | None,
) -> None:
    lead = times - np.minimum(timestamps, _MAX_TIMESTAMP_MS) * 1_000
    known = timestamps >= 0
    late = known & (lead > spec.max_future_seconds * 1e6)
    for row in np.flatnonzero(late).tolist():
        detail = (
            f"{spec.field}: expected at most {spec.max_future_seconds:g} s after the "
            f"record's timestamp, found {lead[row] / 1e6:.0f} s"
        )
        faults.add(row, Reason.FUTURE, detail)
    if max_age_seconds is None:
        return
    early = known & (-lead > max_age_seconds * 1e6)
    for row in np.flatnonzero(early).tolist():
        detail = (
            f"{spec.field}: expected at most {max_age_seconds:g} s before the "
            f"record's timestamp, found {-lead[row] / 1e6:.0f} s"
        )
        faults.add(row, Reason.TOO_OLD, detail)


def _read_iso(name: str, values: list[Any], faults: Faults) -> NDArray[np.int64]:
    times, wrong = parse_iso(values)
    if wrong.any():
        for row in np.flatnonzero(wrong).tolist():
            if wrong[row] == TimeFault.NAIVE:
                reason, expected = Reason.NAIVE_TIME, "a time with Z or an offset"
            else:
                reason, expected = Reason.BAD_TIME, "an ISO 8601 time"
            faults.add(
                row, reason, f"{name}: expected {expected}, found {shown(values[row])}"
            )
    return times


def _read_epochs(
    spec: TimeSpec, values: list[Any], faults: Faults
) -> NDArray[np.int64]:
    tick = _TICKS[spec.format]
    low, high = MIN_TIME / tick, MAX_TIME / tick
    if not (min(values) >= low and max(values) <= high):
        for row, value in enumerate(values):
            if not low <= value <= high:
                detail = (
                    f"{spec.field}: expected the years 1 to 9999, found {shown(value)}"
                )
                faults.add(row, Reason.BAD_TIME, detail)
                values[row] = 0
    if float not in set(map(type, values)):
        return np.array(values, np.int64) * tick
    return np.fromiter(
        (
            value * tick if type(value) is int else round(value * tick)
            for value in values
        ),
        np.int64,
        len(values),
    )


def _check_bounds(
    name: str,
    field: FieldSpec,
    column: NDArray[Any],
    absent: NDArray[np.bool_] | None,
    faults: Faults,
) -> None:
    for bound, words, outside in (
        (field.minimum, "at least", np.less),
        (field.maximum, "at most", np.greater),
    ):
        if bound is None:
            continue
        broken = outside(column, bound)
        if absent is not None:
            broken &= ~absent
        for row in np.flatnonzero(broken).tolist():
            found = shown(column[row].item())
            detail = f"{name}: expected {words} {bound:g}, found {found}"
            faults.add(row, Reason.OUT_OF_BOUNDS, detail)


def _check_lengths(
    name: str, values: list[Any], max_bytes: int, faults: Faults
) -> None:
    # A character takes at most four bytes.
    longest = map(len, filter(None, values) if None in values else values)
    if max(longest, default=0) * 4 <= max_bytes:
        return
    for row, value in enumerate(values):
        if value is not None and len(value.encode()) > max_bytes:
            detail = (
                f"{name}: expected at most {max_bytes} bytes, "
                f"found {len(value.encode())}"
            )
            faults.add(row, Reason.KEY_TOO_LONG, detail)


Absent = NDArray[np.bool_] | None


def _filled(values: list[Any], absent: Absent, filler: Any) -> list[Any]:
    if absent is None:
        return values
    return [filler if value is None else value for value in values]


def _numbers(
    name: str, values: list[Any], absent: Absent, faults: Faults
) -> NDArray[Any]:
    if absent is not None and absent.all():
        return np.full(len(values), np.nan)
    try:
        if absent is None:
            return np.fromiter(values, np.float64, len(values))
        return np.array(values, np.float64)  # None becomes NaN
    except OverflowError:
        for row, value in enumerate(values):
            if type(value) is int and not _fits_float(value):
                detail = f"{name}: expected a 64-bit float, found {shown(value)}"
                faults.add(row, Reason.OUT_OF_BOUNDS, detail)
                values[row] = 0.0
        return np.array(values, np.float64)


def _fits_float(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _integers(
    name: str, values: list[Any], absent: Absent, faults: Faults
) -> NDArray[Any]:
    values = _filled(values, absent, 0)
    if min(values) < -(2**63) or max(values) >= 2**63:
        for row, value in enumerate(values):
            if not -(2**63) <= value < 2**63:
                detail = f"{name}: expected a 64-bit integer, found {shown(value)}"
                faults.add(row, Reason.OUT_OF_BOUNDS, detail)
                values[row] = 0
    return np.array(values, np.int64)


def _strings(
    name: str, values: list[Any], absent: Absent, faults: Faults
) -> NDArray[Any]:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _booleans(
    name: str, values: list[Any], absent: Absent, faults: Faults
) -> NDArray[Any]:
    return np.array(_filled(values, absent, False), np.bool_)


def _instants(
    name: str, values: list[Any], absent: Absent, faults: Faults
) -> NDArray[Any]:
    column = _read_iso(name, _filled(values, absent, "1970-01-01T00:00:00Z"), faults)
    return column


class _Reader:
    """How one type of field is read."""

    def __init__(
        self,
        expected: str,
        accepts: set[type],
        placeholder: Any,
        read: Callable[[str, list[Any], Absent, Faults], NDArray[Any]],
    ) -> None:
        self.expected = expected
        self.accepts = accepts | {_NONE}
        self.placeholder = placeholder
        self.read = read


_READERS = {
    FieldType.NUMBER: _Reader("a number", {float, int}, 0.0, _numbers),
    FieldType.INTEGER: _Reader("an integer", {int}, 0, _integers),
    FieldType.STRING: _Reader("a string", {str}, "", _strings),
    FieldType.BOOLEAN: _Reader("true or false", {bool}, False, _booleans),
    FieldType.TIME: _Reader(
        "an ISO 8601 time", {str}, "1970-01-01T00:00:00Z", _instants
    ),
}
