"""Random numbers that depend on seed, purpose and place, not on the calls' order."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["Stream", "generator"]


class Stream(IntEnum):
    """What the numbers are for; each purpose has its own independent stream."""

    FLEET = 0
    SERVERS = 1
    SERVICES = 2
    COOLING = 3
    ANOMALIES = 4
    READINGS = 5


def generator(seed: int, stream: Stream, *place: int) -> np.random.Generator:
    """Return the generator of one purpose at one place (a block, an hour)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(int(stream), *place))
    return np.random.Generator(np.random.PCG64(sequence))
