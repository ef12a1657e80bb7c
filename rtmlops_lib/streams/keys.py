"""Record keys that are not what the spec expects."""

from __future__ import annotations

import numpy as np

from rtmlops_lib.streams.batch import ColumnBatch
from rtmlops_lib.streams.raw import RawRecords

__all__ = ["foreign_keys"]


def foreign_keys(records: RawRecords, batch: ColumnBatch) -> int:
    """Count the events whose record key is null or not their partition key's value.

    Such events are accepted; but Kafka then keeps no order between the events of one
    series, and may deliver them to two consumers.

    Parameters
    ----------
    records : RawRecords
    batch : ColumnBatch
        What was decoded from them.

    Examples
    --------
    >>> from rtmlops_lib.streams import JsonCodec, builtin_specs
    >>> event = (
    ...     b'{"time": "2025-09-30T12:34:56Z", "service": "web", "server_id": "srv-1",'
    ...     b' "request_rate": 120, "latency_p95_ms": 85.5, "error_rate": 0.01}'
    ... )
    >>> keys = [b"web", None, b"other"]
    >>> records = RawRecords("t", 0, [0, 1, 2], [-1] * 3, keys, [event] * 3, [()] * 3)
    >>> decoded = JsonCodec(builtin_specs()["services"]).decode(records)
    >>> foreign_keys(records, decoded.batch)
    2
    """
    keys = records.keys
    if len(batch) != len(records):
        rows = np.searchsorted(records.offsets, batch.offset).tolist()
        keys = [keys[row] for row in rows]
    pairs = list(zip(keys, batch.columns[batch.spec.partition_key], strict=True))
    foreign = {p for p in set(pairs) if p[0] is None or p[0] != p[1].encode()}
    return sum(pair in foreign for pair in pairs) if foreign else 0
