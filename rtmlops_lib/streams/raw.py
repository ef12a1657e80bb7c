"""Records as a consumer hands them over: bytes and where they stood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["RawRecords"]

Headers = Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class RawRecords:
    """Consecutive records of one partition, as parallel lists of equal length.

    ``timestamps`` are the records' own, in milliseconds since 1970 (-1: none).
    """

    topic: str
    partition: int
    offsets: list[int]
    timestamps: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers]

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, rows: slice) -> RawRecords:
        """Return some of them."""
        return RawRecords(
            self.topic,
            self.partition,
            self.offsets[rows],
            self.timestamps[rows],
            self.keys[rows],
            self.values[rows],
            self.headers[rows],
        )
