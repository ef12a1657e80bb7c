"""Changes of the world on demand, from one moment on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError

__all__ = ["DRIFTS", "Drift"]

# name: what it does, neutral value, smallest and largest value that make sense.
DRIFTS: dict[str, tuple[str, float, float, float]] = {
    "power_curve": (
        "factor on the power drawn at the wall for the same load and heat "
        "(a concept change: ageing power supplies)",
        1.0,
        0.2,
        5.0,
    ),
    "load": ("factor on the demand (a covariate change: more users)", 1.0, 0.1, 3.0),
    "ambient": ("°C added to the air at the inlet (a covariate change)", 0.0, -20, 40),
}


@dataclass(frozen=True, slots=True)
class Drift:
    """One lasting change.

    Parameters
    ----------
    name : str
        One of ``DRIFTS``.
    value : float
        A factor, or degrees, as ``DRIFTS`` says.
    at : datetime, optional
        When it sets in (UTC-aware); None means it always was so.

    Raises
    ------
    UsageError
        For an unknown name or an impossible value.

    Examples
    --------
    >>> Drift.parse("power_curve=1.2")
    Drift(name='power_curve', value=1.2, at=None)
    >>> Drift.parse("ambient=+5").value
    5.0
    """

    name: str
    value: float
    at: datetime | None = None

    def __post_init__(self) -> None:
        if self.name not in DRIFTS:
            raise UsageError(
                f"--drift knows no {self.name!r}", remedy=f"give one of {_known()}"
            )
        _, _, low, high = DRIFTS[self.name]
        if not low <= self.value <= high:
            raise UsageError(
                f"--drift {self.name} must lie between {low:g} and {high:g}, "
                f"got {self.value:g}",
                remedy=f"it is the {DRIFTS[self.name][0]}",
            )
        if self.at is not None and self.at.tzinfo is None:
            raise UsageError(
                f"the time of a drift needs a zone, got {self.at.isoformat()}",
                remedy="append Z for UTC",
            )

    @classmethod
    def parse(cls, text: str, at: datetime | None = None) -> Drift:
        """Read ``name=value``."""
        name, equals, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not equals or not math.isfinite(number):
            raise UsageError(
                f"--drift must be NAME=NUMBER, got {text!r}",
                remedy="for example --drift power_curve=1.2",
            )
        return cls(name.strip(), number, at)

    def values(self, time: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the value in force at each time (µs), neutral before ``at``."""
        if self.at is None:
            return np.full(len(time), self.value)
        at_us = round(self.at.timestamp() * 1_000_000)
        return np.where(time >= at_us, self.value, DRIFTS[self.name][1])


def _known() -> str:
    return "; ".join(f"{name} ({what})" for name, (what, *_) in DRIFTS.items())
