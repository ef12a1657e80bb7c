"""The servers of one datacenter and the services on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.simulator._random import Stream, generator
from rtmlops_lib.simulator.generation import GENERATIONS
from rtmlops_lib.simulator.role import ROLES

__all__ = ["Fleet"]

# Two irrational steps spread roles and generations evenly whatever the fleet's
# size, and leave the first servers as they are when more are added.
_GOLDEN = 0.6180339887498949
_SILVER = 0.4142135623730951


class Fleet:
    """Who the servers are: one array a property, one entry a server.

    The first ``n`` servers of a larger fleet with the same seed are the same.

    Parameters
    ----------
    servers : int
        How many.
    seed : int
        Seed of the small differences between servers.

    Examples
    --------
    >>> fleet = Fleet(4, seed=1)
    >>> fleet.server_ids.tolist()
    ['srv-01', 'srv-02', 'srv-03', 'srv-04']
    >>> [ROLES[role].name for role in fleet.role]
    ['web', 'database', 'web', 'batch']
    >>> fleet.services.tolist()
    ['frontend', 'search', 'accounts-db', 'frontend', 'search', 'reports']
    >>> fleet.service_server.tolist()
    [0, 0, 1, 2, 2, 3]
    """

    def __init__(self, servers: int, seed: int) -> None:
        index = np.arange(servers)
        self.server_ids = _objects([f"srv-{i + 1:02d}" for i in range(servers)])
        self.role = _spread(index, _GOLDEN, [role.share for role in ROLES])
        self.generation = _spread(index, _SILVER, [g.share for g in GENERATIONS])
        own = generator(seed, Stream.FLEET).random((servers, 6)).T
        self.demand_scale = 0.88 + 0.2 * own[0]
        self.shift_hours = 2 * own[1] - 1
        self.inlet_offset = 2 * own[2] - 1
        self.memory_offset = 10 * own[3] - 5
        self.network_scale = 0.8 + 0.4 * own[4]
        self.disk_scale = 0.8 + 0.4 * own[5]

        self.network_share = _of(self.role, [r.network_share for r in ROLES])
        self.disk_demand = _of(self.role, [r.disk_mbps for r in ROLES])
        self.memory_base = _of(self.role, [r.memory_base for r in ROLES])
        self.memory_slope = _of(self.role, [r.memory_slope for r in ROLES])
        self.idle_kw = _of(self.generation, [g.idle_kw for g in GENERATIONS])
        self.max_kw = _of(self.generation, [g.max_kw for g in GENERATIONS])
        self.exponent = _of(self.generation, [g.exponent for g in GENERATIONS])
        self.network_limit = _of(self.generation, [g.network_gbps for g in GENERATIONS])
        self.disk_limit = _of(self.generation, [g.disk_mbps for g in GENERATIONS])

        placed = [
            (service, server)
            for server, role in enumerate(self.role.tolist())
            for service in ROLES[role].services
        ]
        self.services = _objects([service for service, _ in placed])
        self.service_server = np.array([server for _, server in placed], np.int64)

    def __len__(self) -> int:
        return len(self.server_ids)

    def demand(self, time: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return every server's expected demand, shape (times, servers)."""
        result = np.empty((len(time), len(self)))
        for number, role in enumerate(ROLES):
            members = np.flatnonzero(self.role == number)
            if len(members):
                result[:, members] = role.demand(time, self.shift_hours[members])
        result *= self.demand_scale
        return result

    def instances_of(self, server: int) -> NDArray[np.int64]:
        """Return the positions in ``services`` of those that run on ``server``."""
        return np.flatnonzero(self.service_server == server)


def _spread(
    index: NDArray[np.int64], step: float, shares: list[float]
) -> NDArray[np.int64]:
    edges = np.cumsum(shares)[:-1]
    return np.searchsorted(edges, (index * step) % 1.0, side="right").astype(np.int64)


def _of(which: NDArray[np.int64], values: list[float]) -> NDArray[np.float64]:
    return np.array(values, np.float64)[which]


def _objects(values: list[str]) -> NDArray[np.object_]:
    result = np.empty(len(values), object)
    result[:] = values
    return result
