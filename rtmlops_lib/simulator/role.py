"""What servers do: roles, each with its own day, week and appetite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROLES", "Role"]

_HOUR_US = 3_600_000_000
_WEEK_HOURS = 168.0
# Monday 1970-01-05 00:00 UTC, in hours since 1970: the week starts on Monday.
_FIRST_MONDAY_HOURS = 96.0
# The weekend comes and goes over three hours, not in one reading.
_WEEKEND_HOURS = (117.0, 120.0, 165.0, 168.0)
_WEEKEND_SHARE = (0.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of work and the load it brings.

    Parameters
    ----------
    name : str
    share : float
        Part of the fleet in this role.
    base, amplitude : float
        Demand at the quiet hour, and what the peak adds, as shares of one server.
    peak_hour : float
        Hour of the day (UTC) of the peak.
    weekend : float
        Factor on the amplitude on Saturday and Sunday.
    network_share : float
        Share of the network card used at full demand.
    disk_mbps : float
        Disk traffic at full demand, MB/s.
    memory_base, memory_slope : float
        Memory in use without demand, and what full demand adds, in %.
    services : tuple of str
        The services that run on such a server.
    """

    name: str
    share: float
    base: float
    amplitude: float
    peak_hour: float
    weekend: float
    network_share: float
    disk_mbps: float
    memory_base: float
    memory_slope: float
    services: tuple[str, ...]

    def demand(
        self, time: NDArray[np.int64], shift_hours: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the expected demand, a share of one server's capacity.

        Parameters
        ----------
        time : ndarray of int64, shape (n,)
            Microseconds since 1970-01-01 UTC.
        shift_hours : ndarray of float, shape (m,)
            By how much each server's day is later.

        Returns
        -------
        ndarray of float, shape (n, m)

        Examples
        --------
        >>> monday = np.array([4, 16], "int64") * 3_600_000_000 + 345_600_000_000
        >>> ROLES[1].demand(monday, np.zeros(1)).ravel().round(2).tolist()
        [0.23, 0.62]
        """
        hour = time[:, None] / _HOUR_US
        daily = 0.5 + 0.5 * np.cos(
            (2 * np.pi / 24) * (hour - self.peak_hour - shift_hours)
        )
        of_week = (hour[:, 0] - _FIRST_MONDAY_HOURS) % _WEEK_HOURS
        off = np.interp(of_week, _WEEKEND_HOURS, _WEEKEND_SHARE)[:, None]
        factor = 1 + (self.weekend - 1) * off
        shaped: NDArray[np.float64] = self.base + self.amplitude * daily * factor
        return shaped


ROLES: tuple[Role, ...] = (
    Role("web", 0.3, 0.16, 0.46, 20, 1.1, 0.45, 60, 34, 26, ("frontend", "search")),
    Role("api", 0.3, 0.20, 0.45, 14, 0.6, 0.30, 90, 40, 26, ("orders", "payments")),
    Role("database", 0.2, 0.24, 0.34, 15, 0.7, 0.20, 600, 66, 14, ("accounts-db",)),
    Role("batch", 0.1, 0.14, 0.52, 2, 0.8, 0.25, 400, 28, 40, ("reports",)),
    Role("storage", 0.1, 0.12, 0.28, 22, 0.9, 0.50, 900, 50, 12, ("objects",)),
)
