"""Records in hand: decoded, not yet on their way to the store."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from rtmlops_lib.services.prepared import Prepared
from rtmlops_lib.streams import ColumnBatch, Decoded, RawRecords, TopicPartition

__all__ = ["Chunk", "Intake"]


@dataclass(slots=True)
class Chunk:
    """What one poll brought of one partition.

    ``made`` is what a stateful handler has made of it, once and for all.
    """

    stream: str
    raw: RawRecords
    decoded: Decoded
    made: Any = None

    @property
    def tp(self) -> TopicPartition:
        """The partition it came from."""
        return TopicPartition(self.raw.topic, self.raw.partition)


class Intake:
    """Chunks since the last write, with their count and age.

    Parameters
    ----------
    max_rows : int
        Records at which it is full.
    max_seconds : float
        Age of the oldest record at which a write is due.

    Notes
    -----
    ``prepared`` keeps what was made of exactly these chunks ahead of time; any change
    of the chunks forgets it.
    """

    def __init__(self, *, max_rows: int, max_seconds: float) -> None:
        self.max_rows = max_rows
        self.max_seconds = max_seconds
        self._clear()

    def _clear(self) -> None:
        self.prepared: Prepared | None = None
        self.chunks: list[Chunk] = []
        self.count = 0
        self.since: float | None = None

    @property
    def room(self) -> int:
        """Records that still fit."""
        return max(0, self.max_rows - self.count)

    def add(self, chunk: Chunk) -> None:
        """Take a chunk in."""
        self.prepared = None
        self.chunks.append(chunk)
        self.count += len(chunk.raw)
        self.touch()

    def touch(self) -> None:
        """Start the clock: something, be it only a moved position, is in hand."""
        if self.since is None:
            self.since = time.monotonic()

    def due_in(self) -> float | None:
        """Return the seconds until a write is due, None where nothing is in hand."""
        if self.since is None:
            return None
        if self.room == 0:
            return 0.0
        return max(0.0, self.since + self.max_seconds - time.monotonic())

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what came from these partitions."""
        self.prepared = None
        self.chunks = [chunk for chunk in self.chunks if chunk.tp not in partitions]
        self.count = sum(len(chunk.raw) for chunk in self.chunks)

    def take(self) -> tuple[list[Chunk], float]:
        """Hand everything out, with the moment the oldest came in."""
        chunks, since = self.chunks, self.since
        self._clear()
        return chunks, time.monotonic() if since is None else since


def batches_by_stream(chunks: Iterable[Chunk]) -> dict[str, ColumnBatch]:
    """Return one batch a stream of all valid events in ``chunks``."""
    parts: dict[str, list[ColumnBatch]] = {}
    for chunk in chunks:
        if len(chunk.decoded.batch):
            parts.setdefault(chunk.stream, []).append(chunk.decoded.batch)
    return {stream: ColumnBatch.concat(found) for stream, found in parts.items()}
