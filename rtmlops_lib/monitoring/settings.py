"""Every number that decides when drift is called drift."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rtmlops_lib.errors import UsageError

__all__ = ["DriftSettings"]


class DriftSettings(BaseModel):
    """When a change counts, and when one is told of it.

    Parameters
    ----------
    alpha : float
        Share of an unchanged stream's windows in which any feature may cross its
        threshold. It is divided among the features.
    least_effect : float
        A number's threshold is never lower: Wasserstein distance in standard
        deviations of what the weekly profile leaves.
    least_distance : float
        The same for categories: Jensen–Shannon distance.
    least_share : float
        The same for shares of rows: missing, unlike a constant, of an unseen series.
    least_separation : float
        The same for all numbers together: Somers' D of a classifier's scores.
    least_growth : float
        The same for a model's error: growth over the error on held-out rows. These
        are the newest fifth of a training window, a day or two: on other days of the
        week an error may well be a third larger than it was then.
    min_chunks : int
        Reference chunks below which no threshold is derived, and no verdict given.
    min_effective_rows : float
        The reference, and the windows that are remembered, must hold so many rows
        that tell something of their own. A verdict rests on the newest ``windows`` of
        them; what a feature is like is known from all.
    memory : int
        How many of the newest windows may be counted for that: a week of hours.
    windows, needed : int
        A feature drifts when it is over its threshold in ``needed`` of the newest
        ``windows``.
    release : float
        It ceases to drift when at most one of the ``windows`` is above this share of
        the threshold.
    cooldown : int
        Windows after an alert in which no other is raised; drift that lasts longer
        is told then.
    min_window_share : float
        A window with fewer rows than this share of a reference chunk is not judged.
    clip : float
        Deviations beyond so many standard deviations count as that many: one broken
        server is an anomaly, not drift.

    Examples
    --------
    >>> DriftSettings().needed, DriftSettings().windows
    (3, 5)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    least_effect: float = Field(default=0.1, ge=0)
    least_distance: float = Field(default=0.1, ge=0, le=1)
    least_share: float = Field(default=0.1, ge=0, le=1)
    least_separation: float = Field(default=0.2, ge=0, le=1)
    least_growth: float = Field(default=1.5, ge=1)
    min_chunks: int = Field(default=20, ge=5)
    min_effective_rows: float = Field(default=500.0, ge=0)
    memory: int = Field(default=168, ge=1)
    windows: int = Field(default=5, ge=1)
    needed: int = Field(default=3, ge=1)
    release: float = Field(default=0.8, gt=0, le=1)
    cooldown: int = Field(default=24, ge=0)
    min_window_share: float = Field(default=0.5, gt=0, le=1)
    clip: float = Field(default=4.0, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> DriftSettings:
        if self.needed > self.windows:
            raise UsageError(
                f"{self.needed} of {self.windows} windows can never be over",
                remedy="make 'needed' at most 'windows'",
            )
        return self
