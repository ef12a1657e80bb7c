"""Server generations: how much power a load costs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GENERATIONS", "Generation"]


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of hardware.

    Power follows ``idle_kw + (max_kw - idle_kw) * load ** exponent``: old machines
    burn much when idle and saturate early, new ones idle low and climb late.

    Parameters
    ----------
    name : str
    share : float
        Part of the fleet of this generation.
    idle_kw, max_kw, exponent : float
        The power curve.
    network_gbps, disk_mbps : float
        What network card and disks can do.

    References
    ----------
    X. Fan, W.-D. Weber, L. A. Barroso, "Power provisioning for a warehouse-sized
    computer", ISCA 2007: a non-linear curve in the CPU load explains most of it.
    """

    name: str
    share: float
    idle_kw: float
    max_kw: float
    exponent: float
    network_gbps: float
    disk_mbps: float


GENERATIONS: tuple[Generation, ...] = (
    Generation("g1", 0.3, 0.85, 2.15, 0.75, 10.0, 1_200.0),
    Generation("g2", 0.4, 0.65, 2.45, 1.00, 25.0, 2_400.0),
    Generation("g3", 0.3, 0.45, 2.80, 1.35, 50.0, 5_000.0),
)
