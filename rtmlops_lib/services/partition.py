"""What the consume loop knows of each partition it owns."""

from __future__ import annotations

from dataclasses import dataclass

from rtmlops_lib.store import Position, TopicRef
from rtmlops_lib.streams import TopicPartition

__all__ = ["OwnedPartition"]


@dataclass(eq=False, slots=True)
class OwnedPartition:
    """A partition from its assignment to its loss; a new one after each.

    Objects compare by identity: a result that comes back after the partition was
    lost, or lost and given again, finds another object in the loop's table.

    Parameters
    ----------
    tp : TopicPartition
    ref : TopicRef, optional
        The topic as it was when the partition was claimed; None before.
    epoch : int
        Our epoch; writes with another one are refused by the store.
    stored : int
        The next offset according to the store.
    position : int
        The next offset to be read; everything below is stored or in hand. Below
        ``stored`` while a stateful handler learns again what it once knew.
    saved : int
        The next offset of the newest snapshot, whether stored or on its way.
    save_from : float
        When the next snapshot may be stored, by ``time.monotonic``.
    """

    tp: TopicPartition
    ref: TopicRef | None = None
    epoch: int = 0
    stored: int = -1
    position: int = -1
    saved: int = -1
    save_from: float = 0.0

    @property
    def learning(self) -> bool:
        """Whether what it reads is stored already."""
        return self.position < self.stored

    @property
    def claimed(self) -> bool:
        """Whether the store has told us where to read and under which epoch."""
        return self.ref is not None

    def move_to(self, next_offset: int) -> Position:
        """Return the move of the stored offset from where it is to ``next_offset``."""
        if self.ref is None:
            raise RuntimeError(f"{self.tp} was never claimed")
        return Position(
            ref=self.ref,
            partition=self.tp.partition,
            expected=self.stored,
            next_offset=next_offset,
            epoch=self.epoch,
        )
