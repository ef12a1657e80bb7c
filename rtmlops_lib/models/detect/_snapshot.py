"""Plain data and arrays to versioned bytes and back; no pickle."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError

__all__ = ["pack", "refused", "unpack"]

_MAGIC = b"RTMS"
_VERSION = 2
_HEAD = struct.Struct("<4sHI")


def pack(
    kind: str, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> bytes:
    """Return one snapshot.

    Parameters
    ----------
    kind : str
        Of whose state it is.
    about : mapping
        Plain data, as JSON knows it.
    arrays : mapping of str to ndarray
        Of numbers or booleans.
    """
    buffer = io.BytesIO()
    text = json.dumps({"kind": kind, **about}, ensure_ascii=False)
    np.savez(
        buffer,
        allow_pickle=False,
        about=np.frombuffer(text.encode(), np.uint8),
        **{f"a_{name}": array for name, array in arrays.items()},
    )
    body = zlib.compress(buffer.getvalue(), 1)
    return _HEAD.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body


def unpack(kind: str, data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what ``pack`` was given.

    Raises
    ------
    UsageError
        For bytes that are damaged, of another kind or of another version.
    """
    found = _HEAD.unpack_from(data) if len(data) > _HEAD.size else (b"", 0, 0)
    body = data[_HEAD.size :]
    if found[0] != _MAGIC or found[2] != zlib.crc32(body):
        raise refused("is damaged or none at all")
    if found[1] != _VERSION:
        raise refused(f"has version {found[1]}, this program reads {_VERSION}")
    with np.load(io.BytesIO(zlib.decompress(body)), allow_pickle=False) as archive:
        about = json.loads(archive["about"].tobytes())
        arrays = {n[2:]: archive[n] for n in archive.files if n.startswith("a_")}
    if about.pop("kind") != kind:
        raise refused(f"is not one of a {kind}")
    return about, arrays


def refused(why: str) -> UsageError:
    """Return the error that says why a snapshot is of no use."""
    return UsageError(
        f"the detector's snapshot {why}",
        remedy="delete it: the state is then learned again from history",
    )
