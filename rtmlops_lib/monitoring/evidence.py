"""What one window says of one feature, whole enough to be judged again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtmlops_lib.monitoring.measures._shares import with_unseen
from rtmlops_lib.monitoring.measures.domain_classifier import separation
from rtmlops_lib.monitoring.measures.jensen_shannon import shannon_distance
from rtmlops_lib.monitoring.measures.wasserstein import quantile_distance

__all__ = ["Evidence"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One feature in one window.

    Parameters
    ----------
    name, kind, unit : str
        See ``FeatureReference``; kind ``joint`` is that of ``JointReference``.
    effect : float, optional
        None where the window holds no value.
    threshold : float, optional
        None where the reference has too few chunks.
    missing, reference_missing : float
        Shares of absent values.
    missing_threshold : float, optional
    p_value, adjusted_p : float, optional
        Of Kolmogorov–Smirnov or chi-squared at effective rows; Holm over features.
    gap : float, optional
        Kolmogorov–Smirnov's D or Cramér's V.
    psi : float, optional
        Of a number's deviations, in deciles of the reference.
    rows : int
        Rows with a value.
    effective_rows, reference_effective_rows : float
    tau : float
        Autocorrelation time, microseconds or rows.
    chunks : int
        Reference chunks that the threshold rests on.
    reference_quantiles, current_quantiles : tuple of float
    reference_counts, current_counts : dict of str to int, optional
    share : float, optional
        For kind ``share``: the effect itself.
    reference_mean, current_mean : float, optional
        Raw; for kind ``error`` what growth is the ratio of.
    edges, reference_shares, current_shares : tuple of float
        Histogram of what ``axis`` says.
    """

    name: str
    kind: str
    unit: str
    effect: float | None
    threshold: float | None
    missing: float = 0.0
    reference_missing: float = 0.0
    missing_threshold: float | None = None
    p_value: float | None = None
    adjusted_p: float | None = None
    gap: float | None = None
    psi: float | None = None
    rows: int = 0
    effective_rows: float = 0.0
    reference_effective_rows: float = 0.0
    tau: float = 1.0
    chunks: int = 0
    reference_quantiles: tuple[float, ...] = ()
    current_quantiles: tuple[float, ...] = ()
    reference_counts: dict[str, int] | None = None
    current_counts: dict[str, int] | None = None
    share: float | None = None
    reference_mean: float | None = None
    current_mean: float | None = None
    edges: tuple[float, ...] = ()
    reference_shares: tuple[float, ...] = ()
    current_shares: tuple[float, ...] = ()
    axis: str = "value"

    def measured(self) -> float | None:
        """Return the effect, worked out anew from what is kept here."""
        if self.kind == "number" and self.current_quantiles:
            return quantile_distance(
                np.array(self.reference_quantiles), np.array(self.current_quantiles)
            )
        if self.kind == "category" and self.current_counts:
            _, reference, current = with_unseen(
                self.reference_counts or {}, self.current_counts
            )
            return shannon_distance(reference, current)
        if self.kind == "share":
            return self.share
        if self.kind == "joint" and self.current_shares:
            return separation(
                np.array(self.reference_shares), np.array(self.current_shares)
            )
        if self.kind == "error" and self.reference_mean and self.current_mean:
            return self.current_mean / self.reference_mean
        return None

    def mark(self, release: float) -> int:
        """Return 2 over the threshold, 1 close to it, 0 below."""
        size = 0.0
        if self.effect is not None and self.threshold:
            size = self.effect / self.threshold
            if self.kind == "error" and self.threshold > 1:
                # Unchanged is growth 1, not 0: how close is measured from there, or
                # an error that is back to normal would be close for ever.
                size = (self.effect - 1) / (self.threshold - 1)
        if self.missing_threshold:
            more = abs(self.missing - self.reference_missing)
            size = max(size, more / self.missing_threshold)
        return 2 if size > 1 else int(size > release)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Evidence:
        """Return what ``to_dict`` was made of."""
        tuples = {
            name: tuple(value)
            for name, value in plain.items()
            if isinstance(value, list | tuple)
        }
        return cls(**{**plain, **tuples})
