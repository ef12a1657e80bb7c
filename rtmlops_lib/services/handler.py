"""What a service does with the events that the loop hands it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from rtmlops_lib.services.intake import Chunk
from rtmlops_lib.services.prepared import Letter, Prepared
from rtmlops_lib.store import TopicRef
from rtmlops_lib.streams import TopicPartition

__all__ = ["Handler", "LetterSink", "StatefulHandler"]


class LetterSink(ABC):
    """Where dead letters go."""

    @abstractmethod
    def send(self, letters: Sequence[Letter], refs: Mapping[str, TopicRef]) -> None:
        """Send them and return when all are acknowledged.

        Called on the writer thread, before the offsets commit; ``refs`` holds each
        topic's ids, which become part of the letters' keys.

        Raises
        ------
        DeliveryFailed
            When one is not; all of them will be sent again.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; twice is fine."""


class Handler(ABC):
    """The part of a service that is its own: all methods run on the loop's thread.

    Nothing here may block on the network.
    """

    @abstractmethod
    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Turn decoded records into what shall be written."""

    def dropped(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the state of partitions that are no longer ours."""
        return


class StatefulHandler(Handler):
    """A handler whose rows depend on the records before, partition by partition.

    The loop sees to it that each partition's records come in their order and none
    twice, by ``learn`` or by ``prepare``; and that after ``dropped`` they come again
    from where a snapshot was taken, or from history where there is none.

    ``prepare`` may be called again with chunks that it was given before, of the same
    partitions and maybe fewer of them: what it made of each stays in ``chunk.made``.

    ``history_records`` is how many records before the stored offset a partition
    without a usable snapshot learns from.
    """

    history_records: int = 50_000

    @abstractmethod
    def restore(self, tp: TopicPartition, data: bytes) -> None:
        """Go on from a snapshot.

        Raises
        ------
        UsageError
            When it is damaged or another version's; the partition then starts afresh.
        """

    @abstractmethod
    def learn(self, chunk: Chunk) -> None:
        """Take in records whose rows are stored already."""

    @abstractmethod
    def snapshot(self, tp: TopicPartition) -> bytes | None:
        """Return the state of a partition, None where nothing is known of it."""
