"""Events straight into the tables, without Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from rtmlops_lib.store.contract import BatchTooLarge, Written
from rtmlops_lib.store.postgres.writer import Beside, Writer
from rtmlops_lib.streams import ColumnBatch

__all__ = ["backfill", "portions"]

ROWS = 20_000
# Every chunk of a hypertable costs locks; with a day a chunk this stays far below
# the 64 × max_connections that a server grants by default.
CHUNKS = 200
_DAY_US = 86_400_000_000
DEADLINE_SECONDS = 120.0


def backfill(
    writer: Writer,
    batches: Iterable[ColumnBatch],
    on_progress: Callable[[int], None] = lambda rows: None,
) -> Written:
    """As ``PostgresStore.backfill``."""
    total = Written()
    for batch in batches:
        todo = list(portions(batch))
        while todo:
            part = todo[0]
            try:
                written = writer.write("", [part], [], Beside(), None, DEADLINE_SECONDS)
            except BatchTooLarge:
                if len(part) == 1:
                    raise
                middle = len(part) // 2
                rows = np.arange(len(part))
                todo[:1] = [part.take(rows[:middle]), part.take(rows[middle:])]
                continue
            total.add(written)
            on_progress(len(part))
            del todo[0]
    return total


def portions(batch: ColumnBatch) -> Iterator[ColumnBatch]:
    """Yield an event batch in transactions of bounded size and reach in time."""
    n = len(batch)
    batch = replace(
        batch, partition=np.full(n, -1, np.int32), offset=np.full(n, -1, np.int64)
    )
    days = batch.time // _DAY_US
    start = 0
    while start < n:
        stop = min(start + ROWS, n)
        if len(np.unique(days[start:stop])) > CHUNKS:
            # The first row of each new day, in order: cut before one too many.
            firsts = np.sort(np.unique(days[start:stop], return_index=True)[1])
            stop = start + int(firsts[CHUNKS])
        yield batch.take(np.arange(start, stop))
        start = stop
