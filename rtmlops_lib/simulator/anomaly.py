"""The eight anomaly types, as data: when, how long, what they move."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["ANOMALIES", "AnomalyKind", "Effect", "How", "Shape"]


class Shape(StrEnum):
    """How an anomaly sets in."""

    ABRUPT = "abrupt"
    RAMP = "ramp"  # grows over the first 70 % of its duration


class How(StrEnum):
    """How an effect moves a quantity x, at strength s from 0 to 1."""

    TOWARD = "toward"  # x + s * amount * (limit - x)
    SCALE = "scale"  # x * (1 + s * amount)
    ADD = "add"  # x + s * amount


@dataclass(frozen=True, slots=True)
class Effect:
    """What an anomaly does to one quantity.

    Physics carries it on: what raises ``cpu_usage`` raises power, temperature and
    latency without being told to.
    """

    quantity: str
    how: How
    amount: float
    only_its_service: bool = False

    def apply(
        self, x: NDArray[np.float64], strength: NDArray[np.float64], limit: float
    ) -> NDArray[np.float64]:
        """Return ``x`` moved at the strengths given.

        Examples
        --------
        >>> spike = Effect("cpu_usage", How.TOWARD, 0.9)
        >>> spike.apply(np.array([40.0, 40.0]), np.array([0.0, 1.0]), 100.0).tolist()
        [40.0, 94.0]
        """
        moved = self.amount * strength
        if self.how is How.TOWARD:
            return x + moved * (limit - x)
        if self.how is How.SCALE:
            return x * (1 + moved)
        return x + moved


@dataclass(frozen=True, slots=True)
class AnomalyKind:
    """One type of anomaly.

    Parameters
    ----------
    name : str
    metric : str
        The field that shows it first.
    shape : Shape
    minutes : tuple of float
        Shortest and longest time for which the cause acts.
    recovery_minutes : float
        How long the slow quantities (heat) need afterwards; the label's
        ``ended_at`` includes it.
    effects : tuple of Effect
    of_service : bool
        Whether it befalls one service, not the server.
    """

    name: str
    metric: str
    shape: Shape
    minutes: tuple[float, float]
    recovery_minutes: float
    effects: tuple[Effect, ...]
    of_service: bool = False

    @property
    def mean_minutes(self) -> float:
        """Expected time from onset to the last affected instant."""
        return sum(self.minutes) / 2 + self.recovery_minutes

    def envelope(self, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the strength at ``progress``, 0 at the onset, 1 when the cause ends.

        Examples
        --------
        >>> leak = ANOMALIES["memory_leak"]
        >>> leak.envelope(np.array([-0.1, 0.35, 0.9, 1.2])).round(2).tolist()
        [0.0, 0.5, 1.0, 0.0]
        """
        acting = (progress >= 0) & (progress < 1)
        if self.shape is Shape.ABRUPT:
            return acting.astype(np.float64)
        return np.where(acting, np.minimum(progress / 0.7, 1.0), 0.0)


ANOMALIES: dict[str, AnomalyKind] = {
    kind.name: kind
    for kind in (
        AnomalyKind(
            "cpu_spike",
            "cpu_usage",
            Shape.ABRUPT,
            (5, 20),
            7,
            (Effect("cpu_usage", How.TOWARD, 0.95),),
        ),
        AnomalyKind(
            "memory_leak",
            "memory_usage",
            Shape.RAMP,
            (40, 90),
            0,
            (
                Effect("memory_usage", How.TOWARD, 0.95),
                Effect("disk_io_mbps", How.TOWARD, 0.15),
                Effect("latency_p95_ms", How.SCALE, 0.6),
            ),
        ),
        AnomalyKind(
            "temperature_high",
            "temperature",
            Shape.ABRUPT,
            (10, 30),
            7,
            (
                Effect("inlet_temperature", How.ADD, 26.0),
                # Fans at full speed.
                Effect("power_kw", How.SCALE, 0.05),
            ),
        ),
        AnomalyKind(
            "power_surge",
            "power_kw",
            Shape.ABRUPT,
            (5, 20),
            7,
            (Effect("power_kw", How.SCALE, 0.45),),
        ),
        AnomalyKind(
            "network_saturation",
            "network_gbps",
            Shape.ABRUPT,
            (5, 25),
            5,
            (
                Effect("network_gbps", How.TOWARD, 0.97),
                Effect("cpu_usage", How.TOWARD, 0.12),
                Effect("latency_p95_ms", How.SCALE, 1.6),
                Effect("error_rate", How.ADD, 0.015),
            ),
        ),
        AnomalyKind(
            "disk_io_bottleneck",
            "disk_io_mbps",
            Shape.ABRUPT,
            (5, 25),
            5,
            (
                Effect("disk_io_mbps", How.TOWARD, 0.95),
                Effect("cpu_usage", How.TOWARD, 0.1),
                Effect("latency_p95_ms", How.SCALE, 2.0),
            ),
        ),
        AnomalyKind(
            "latency_spike",
            "latency_p95_ms",
            Shape.ABRUPT,
            (5, 20),
            0,
            (
                Effect("latency_p95_ms", How.SCALE, 5.0, only_its_service=True),
                Effect("request_rate", How.SCALE, -0.15, only_its_service=True),
            ),
            of_service=True,
        ),
        AnomalyKind(
            "error_burst",
            "error_rate",
            Shape.ABRUPT,
            (5, 20),
            0,
            (
                Effect("error_rate", How.ADD, 0.3, only_its_service=True),
                # Clients try again.
                Effect("request_rate", How.SCALE, 0.25, only_its_service=True),
            ),
            of_service=True,
        ),
    )
}
