"""Which partition each series comes from, and whether it keeps to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from rtmlops_lib.streams import TopicPartition

__all__ = ["SeriesHomes"]


class SeriesHomes:
    """Notices series that are met on two partitions of those that this member reads.

    Each partition's state knows half of such a series then; producers that do not use
    the partition key are the usual cause.

    Examples
    --------
    >>> homes = SeriesHomes()
    >>> homes.meet(TopicPartition("t", 0), ["srv-1", "srv-2"])
    []
    >>> homes.meet(TopicPartition("t", 1), ["srv-2", "srv-3"])
    ['srv-2']
    >>> homes.meet(TopicPartition("t", 1), ["srv-2"])
    []
    """

    def __init__(self) -> None:
        self._met: dict[TopicPartition, set[Any]] = {}

    def meet(self, tp: TopicPartition, series: Iterable[Any]) -> list[Any]:
        """Return those of ``series`` that are new here and known elsewhere."""
        mine = self._met.setdefault(tp, set())
        new = set(series) - mine
        if not new:
            return []
        mine |= new
        others = [
            known
            for other, known in self._met.items()
            if other.topic == tp.topic and other != tp
        ]
        return [name for name in new if any(name in known for known in others)]

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what came from these partitions."""
        for tp in partitions:
            self._met.pop(tp, None)
