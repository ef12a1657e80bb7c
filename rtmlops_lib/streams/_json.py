"""What JSON text is worth: decoding, and naming what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from rtmlops_lib.streams.reasons import Reason

__all__ = [
    "MAX_DEPTH",
    "contains_nul",
    "decode_fault",
    "decode_json",
    "is_deeper_than",
    "shown",
]

# Levels of nesting, the event's own object being the first. Fixed, because what
# the interpreter can stand differs between versions and call sites.
MAX_DEPTH = 64
_SHOWN_CHARACTERS = 60

decode_json = msgspec.json.Decoder().decode


def decode_fault(value: bytes, error: Exception) -> tuple[Reason, str]:
    """Return why ``value`` could not be decoded, ``error`` being what came of it."""
    if isinstance(error, RecursionError):
        return Reason.TOO_DEEP, f"expected at most {MAX_DEPTH} levels of nesting"
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as fault:
        return Reason.NOT_UTF8, f"byte {fault.start}: {fault.reason}"
    if "out of range" in str(error):
        return Reason.OUT_OF_BOUNDS, "a number is beyond a 64-bit float"
    return _syntax_fault(text, str(error))


def _syntax_fault(text: str, message: str) -> tuple[Reason, str]:
    """Tell apart what the more lenient standard library would read."""
    constants: list[str] = []
    try:
        json.loads(text, parse_constant=constants.append)
    except (ValueError, RecursionError):
        return Reason.NOT_JSON, message
    if constants:
        return Reason.NOT_JSON, f"{constants[0]} is no JSON number"
    return Reason.NOT_UTF8, "a string contains half of a surrogate pair"


def contains_nul(value: Any) -> bool:
    """Return whether any string in it, keys included, contains U+0000."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if type(current) is str:
            if "\0" in current:
                return True
        elif type(current) is dict:
            waiting.extend(current)
            waiting.extend(current.values())
        elif type(current) is list:
            waiting.extend(current)
    return False


def is_deeper_than(value: Any, limit: int) -> bool:
    """Return whether objects and lists nest more than ``limit`` levels deep.

    Examples
    --------
    >>> is_deeper_than({"a": [1]}, 1), is_deeper_than({"a": [1]}, 2)
    (True, False)
    """
    level = [value]
    for _ in range(limit):
        level = [
            item
            for outer in level
            if type(outer) in (dict, list)
            for item in (outer.values() if type(outer) is dict else outer)
            if type(item) in (dict, list)
        ]
        if not level:
            return False
    return True


def shown(value: Any) -> str:
    """Return a value as an error message shows it: JSON, cut where it is long.

    Examples
    --------
    >>> shown("on"), shown(None)
    ('"on"', 'null')
    """
    if type(value) in (dict, list):
        return "an object" if type(value) is dict else "a list"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > _SHOWN_CHARACTERS:
        return f"{text[:_SHOWN_CHARACTERS]}…"
    return text
