"""What the simulator yields."""

from __future__ import annotations

from dataclasses import dataclass

from rtmlops_lib.streams import ColumnBatch

__all__ = ["SimulatedChunk"]


@dataclass(slots=True)
class SimulatedChunk:
    """Some consecutive steps of the whole fleet, each stream ordered by time.

    Parameters
    ----------
    steps : int
        How many sampling steps.
    datacenter, services : ColumnBatch
        ``steps`` readings of every server and of every service on it.
    labels : ColumnBatch
        The anomalies that begin here; in a run's first chunk also those under way.
    """

    steps: int
    datacenter: ColumnBatch
    services: ColumnBatch
    labels: ColumnBatch
