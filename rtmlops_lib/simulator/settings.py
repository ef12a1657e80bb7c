"""Everything that decides what the simulator yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator.anomaly import ANOMALIES
from rtmlops_lib.simulator.drift import Drift
from rtmlops_lib.simulator.profile import Profile, load_profile

__all__ = ["SimulatorSettings"]

MAX_SERVERS = 10_000
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 0.1, 300.0
MAX_ANOMALY_PROB = 0.5


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Fleet, step, seed, anomalies, drifts.

    Parameters
    ----------
    servers : int
        1 to 10,000.
    interval_seconds : float
        Sampling step, 0.1 to 300 s, in whole milliseconds.
    seed : int
        Not negative.
    anomaly_prob : float
        Share of a server's time that is spent in anomalies, 0 to 0.5: the
        probability that a reading falls into one.
    mix : mapping of str to float
        Relative frequency of the anomaly types.
    duration_scale : float
        Factor on the anomalies' durations, 0.05 to 10.
    drifts : tuple of Drift

    Raises
    ------
    UsageError
        For an impossible value, by the name of its flag.

    Examples
    --------
    >>> SimulatorSettings.of_profile("chaos", servers=3).anomaly_prob
    0.2
    >>> SimulatorSettings(servers=-2)
    Traceback (most recent call last):
    ...
    rtmlops_lib.errors.UsageError: --servers must be 1 to 10,000, got -2; try 20
    """

    servers: int = 20
    interval_seconds: float = 10.0
    seed: int = 0
    anomaly_prob: float = 0.01
    mix: Mapping[str, float] = field(
        default_factory=lambda: dict.fromkeys(ANOMALIES, 1.0)
    )
    duration_scale: float = 1.0
    drifts: tuple[Drift, ...] = ()

    def __post_init__(self) -> None:
        _check("--servers", self.servers, 1, MAX_SERVERS, "try 20")
        _check(
            "--interval",
            self.interval_seconds,
            MIN_INTERVAL_SECONDS,
            MAX_INTERVAL_SECONDS,
            "try 10s; anomalies of minutes must not fall between two readings",
            " s",
        )
        if abs(self.interval_us - self.interval_seconds * 1e6) > 1 or (
            self.interval_us % 1000
        ):
            raise UsageError(
                "--interval must be whole milliseconds, got "
                f"{self.interval_seconds:g} s",
                remedy="round it",
            )
        _check("--seed", self.seed, 0, 2**63 - 1, "try 42")
        _check(
            "--anomaly-prob",
            self.anomaly_prob,
            0,
            MAX_ANOMALY_PROB,
            "it is the share of time in anomalies; what fills more than half of it "
            "is no anomaly",
        )
        _check("duration_scale", self.duration_scale, 0.05, 10, "try 1")
        Profile(
            name="custom",
            description="",
            servers=self.servers,
            interval_seconds=self.interval_seconds,
            anomaly_prob=self.anomaly_prob,
            mix=dict(self.mix),
        )
        names = [drift.name for drift in self.drifts]
        if len(set(names)) < len(names):
            raise UsageError(
                f"--drift was given twice for one name: {', '.join(sorted(names))}",
                remedy="give each name once",
            )

    @classmethod
    def of_profile(
        cls,
        name: str = "normal",
        *,
        servers: int | None = None,
        interval_seconds: float | None = None,
        anomaly_prob: float | None = None,
        seed: int = 0,
        drifts: tuple[Drift, ...] = (),
    ) -> SimulatorSettings:
        """Return a profile's settings, replaced where a value is given."""
        profile = load_profile(name)
        return cls(
            servers=profile.servers if servers is None else servers,
            interval_seconds=(
                profile.interval_seconds
                if interval_seconds is None
                else interval_seconds
            ),
            seed=seed,
            anomaly_prob=(
                profile.anomaly_prob if anomaly_prob is None else anomaly_prob
            ),
            mix=profile.mix,
            duration_scale=profile.duration_scale,
            drifts=drifts,
        )

    @property
    def interval_us(self) -> int:
        """The sampling step in microseconds."""
        return round(self.interval_seconds * 1_000_000)


def _check(
    name: str, value: float, low: float, high: float, remedy: str, unit: str = ""
) -> None:
    # Written so that NaN fails too.
    if not low <= value <= high:
        raise UsageError(
            f"{name} must be {low:,} to {high:,}{unit}, got {value:,}{unit}",
            remedy=remedy,
        )
