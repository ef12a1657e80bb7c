"""What the streaming detector may be told; the defaults suit telemetry."""

from __future__ import annotations

from dataclasses import dataclass

from rtmlops_lib.errors import UsageError

__all__ = ["DetectorSettings"]


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Memory, robustness and thresholds of one streaming detector.

    All lengths are counted in samples of a series, so that one set of defaults
    serves any sampling step.

    Parameters
    ----------
    horizons : tuple of float
        Memory of each level, short to long: a jump shows against the short one, a
        creeping change only against the long one.
    scale_memory : float
        Memory of the spread, as a multiple of the level's.
    clip : float
        How many spreads one sample may move a level: an outlier pulls no further.
    warm_up : int
        Samples of a series before it is scored.
    tail_share : float
        Share of the deviations that make up the fitted tail.
    tail_shape : float
        Shape of the generalized Pareto tail; above 0, so that far deviations are
        never believed as impossible as an exponential tail would have them.
    alarm_p : float
        Tail probability of a row at which its score is 0.5 and it is flagged.
    adapt_after : int
        Samples of unbroken alarm after which the new level is accepted as normal.

    Raises
    ------
    UsageError
        For a value that makes no sense.
    """

    horizons: tuple[float, ...] = (6.0, 60.0, 360.0)
    scale_memory: float = 20.0
    clip: float = 3.0
    warm_up: int = 60
    tail_share: float = 0.02
    tail_shape: float = 0.1
    alarm_p: float = 3e-5
    adapt_after: int = 1_080

    def __post_init__(self) -> None:
        checks = {
            "horizons": bool(self.horizons) and min(self.horizons) >= 1,
            "scale_memory": self.scale_memory >= 1,
            "clip": self.clip >= 1,
            "warm_up": self.warm_up >= 2,
            "tail_share": 0 < self.tail_share < 0.5,
            "tail_shape": 0 < self.tail_shape < 1,
            "alarm_p": 0 < self.alarm_p < self.tail_share,
            "adapt_after": self.adapt_after >= 1,
        }
        wrong = [name for name, fine in checks.items() if not fine]
        if wrong:
            raise UsageError(
                f"the detector cannot work with {wrong[0]} = "
                f"{getattr(self, wrong[0])!r}",
                remedy="leave it at its default",
            )
