"""Events and records for these tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rtmlops_lib.streams import RawRecords

SENT_MS = 1_759_235_700_000  # 2025-09-30T12:35:00Z
EVENT = {
    "time": "2025-09-30T12:34:56Z",
    "server_id": "srv-42",
    "cpu_usage": 75.2,
    "temperature": 63.1,
    "power_kw": 2.3,
    "network_gbps": 0.7,
}


def raw_records(
    values: Sequence[bytes | None],
    *,
    timestamps: Sequence[int] | None = None,
    keys: Sequence[bytes | None] | None = None,
) -> RawRecords:
    count = len(values)
    return RawRecords(
        topic="datacenter-metrics",
        partition=1,
        offsets=list(range(100, 100 + count)),
        timestamps=list(timestamps or [SENT_MS] * count),
        keys=list(keys or [b"srv-42"] * count),
        values=list(values),
        headers=[[]] * count,
    )


def event_bytes(**changes: Any) -> bytes:
    """The usual event with some fields changed, or left out where given `...`."""
    merged = {**EVENT, **changes}
    return json.dumps({k: v for k, v in merged.items() if v is not ...}).encode()
