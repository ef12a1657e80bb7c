"""The codec runs for months: nothing of a batch may stay behind."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from rtmlops_lib.streams import JsonCodec, builtin_specs
from tests.unit.streams.streams_samples import event_bytes, raw_records

COUNT = 2_000
UNKNOWN = {"rack": "r12", "firmware": "1.2.3", "slot": 7.5, "nested": {"a": [1]}}


def decoding(codec: JsonCodec) -> Callable[[], object]:
    values = [event_bytes(cpu_usage=i % 97 + 0.25, **UNKNOWN) for i in range(COUNT)]
    records = raw_records(values)
    return lambda: codec.decode(records)


def encoding(codec: JsonCodec) -> Callable[[], object]:
    values = [event_bytes(cpu_usage=i % 97 + 0.25) for i in range(COUNT)]
    batch = codec.decode(raw_records(values)).batch
    return lambda: codec.encode(batch)


@pytest.mark.parametrize("way", [decoding, encoding])
def test_a_batch_leaves_nothing_behind(way):
    run = way(JsonCodec(builtin_specs()["datacenter"]))
    run()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5):
            run()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One column of one batch would be 5 times 2,000 numbers.
    assert after - before < 20_000
