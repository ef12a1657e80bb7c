"""What the codec may cost at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from rtmlops_lib.streams import JsonCodec, builtin_specs
from tests.unit.streams.streams_samples import event_bytes, raw_records

pytestmark = pytest.mark.alone

COUNT = 5_000
SHAPES: dict[str, dict[str, Any]] = {
    "six fields": {},
    "eight fields": {"memory_usage": 41.5, "disk_io_mbps": 120.25},
    "two unknown fields": {"rack": "r12", "firmware": "1.2.3"},
}


def best_milliseconds(call: Callable[[], object], bound: float) -> float:
    """The best of at least seven; more while the machine is busy with others.

    Measured is the thread's own time, so that waiting for a processor is not counted.
    """
    best = float("inf")
    for attempt in range(60):
        started = time.thread_time()
        call()
        best = min(best, (time.thread_time() - started) * 1_000)
        if attempt >= 6 and best <= bound:
            break
    return best


def values_of(shape: dict[str, Any]) -> list[bytes]:
    return [
        event_bytes(
            time=f"2025-09-30T12:{i // 60 % 30:02d}:{i % 60:02d}Z",
            server_id=f"srv-{i // 1_800}-{i % 50}",
            cpu_usage=i % 97 + 0.25,
            **shape,
        )
        for i in range(COUNT)
    ]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_decoding_5000_events_takes_at_most_10_milliseconds(shape):
    codec = JsonCodec(builtin_specs()["datacenter"])
    records = raw_records(values_of(shape))
    assert len(codec.decode(records).batch) == COUNT
    # On a slow or crowded machine the bound is three times the bare parsing.
    decode = msgspec.json.Decoder().decode
    bare = best_milliseconds(lambda: list(map(decode, records.values)), 0)
    bound = max(10, 3 * bare)
    assert best_milliseconds(lambda: codec.decode(records), bound) <= bound


def test_encoding_reaches_200_000_events_a_second():
    codec = JsonCodec(builtin_specs()["datacenter"])
    batch = codec.decode(raw_records(values_of(SHAPES["two unknown fields"]))).batch
    assert best_milliseconds(lambda: codec.encode(batch), 25) <= 25
