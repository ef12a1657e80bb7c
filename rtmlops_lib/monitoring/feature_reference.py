"""What is known of one feature before anything has changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring.profile import Profile
from rtmlops_lib.monitoring.tail import Tail

__all__ = ["FeatureReference", "Kind"]

Kind = str  # "number", "category", "share" or "error"; plain for the sake of JSON


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """One feature of the reference.

    Parameters
    ----------
    name : str
    kind : {"number", "category", "share", "error"}
        ``share``: rows unlike a constant, or of series never seen.
    unit : str
        What the effect counts.
    quantiles : tuple of float
        Of a number's deviations from its profile, at ``LEVELS``.
    counts : dict of str to int
        Of categories.
    constant : float or str, optional
        The only value there was.
    missing : float
        Share of absent values.
    tau : float
        Autocorrelation time, microseconds (or rows without a clock).
    effective_rows : float
    chunks : int
        How many the thresholds rest on.
    threshold, missing_threshold : float, optional
        None: too few chunks.
    tail : Tail, optional
        What ``threshold`` was read from.
    mean, deviation : float
        Of the raw values.
    edges, shares : tuple of float
        Histogram, the outer bins open.
    axis : str
        Of what: the values, or their deviations where there is a profile.
    profile : Profile, optional
    """

    name: str
    kind: Kind
    unit: str
    quantiles: tuple[float, ...] = ()
    counts: dict[str, int] | None = None
    constant: float | str | None = None
    missing: float = 0.0
    tau: float = 1.0
    effective_rows: float = 0.0
    chunks: int = 0
    threshold: float | None = None
    missing_threshold: float | None = None
    tail: Tail | None = None
    mean: float | None = None
    deviation: float | None = None
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    axis: str = "value"
    profile: Profile | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        plain = asdict(self)
        if self.profile is not None:
            plain["profile"] = {
                "cycle": self.profile.cycle,
                "mean": _short(self.profile.mean).tolist(),
                "scale": _short(self.profile.scale).tolist(),
            }
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> FeatureReference:
        """Return what ``to_dict`` was made of."""
        given = dict(plain)
        for name in ("quantiles", "edges", "shares"):
            given[name] = tuple(given[name])
        if given["tail"] is not None:
            given["tail"] = Tail(**given["tail"])
        if given["profile"] is not None:
            given["profile"] = Profile(
                given["profile"]["cycle"],
                np.array(given["profile"]["mean"], np.float64),
                np.array(given["profile"]["scale"], np.float64),
            )
        return cls(**given)


def _short(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return seven significant digits: more were not measured, and take room."""
    short = [float(f"{value:.7g}") for value in values.ravel()]
    return np.array(short, np.float64).reshape(values.shape)
