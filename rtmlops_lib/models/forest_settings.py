"""Every number that decides how the detector's forest is made and judged."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ForestGateSettings", "ForestSettings"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ForestGateSettings(_Frozen):
    """When a forest may stand by the detector.

    Parameters
    ----------
    max_added_alarms : float
        Alarms a series and day that it may add, on held-out rows that no detector
        flagged, to those that come without it.
    confidence : float
        With which that rate must be exceeded for a refusal.
    min_ranking : float
        How often at least it must find a held-out row with one metric moved odder
        than one as it was (area under the ROC curve).
    moved_by : float
        How far that metric is moved, in its series' usual deviations.
    margin : float
        By how much it may rank worse than the champion.
    max_micros_per_row : float
        Speed ceiling, at ``speed_rows`` rows.
    """

    max_added_alarms: float = Field(default=0.1, gt=0)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_ranking: float = Field(default=0.8, ge=0.5, le=1)
    moved_by: float = Field(default=6.0, gt=0)
    margin: float = Field(default=0.02, ge=0)
    max_micros_per_row: float = Field(default=10.0, gt=0)
    speed_rows: int = Field(default=1_000, ge=1)


class ForestSettings(_Frozen):
    """How the detector's forest is trained.

    Parameters
    ----------
    trees, max_samples
        Of the forest. Trees decide what a row costs; more samples a tree than the
        usual 256 let it see what single metrics do.
    holdout : float
        Share of the time, the newest, that the forest does not see.
    max_rows : int
        Rows that are read through in order of time: the newest. Deviations need all
        rows of a series, so none is left out in between.
    max_train_rows : int
        Of these, rows to fit on, drawn by chance.
    min_rows, min_hours : int, float
        Below, training is refused.

    Examples
    --------
    >>> ForestSettings().trees, ForestSettings().max_samples
    (50, 1024)
    """

    trees: int = Field(default=50, ge=1, le=1_000)
    max_samples: int = Field(default=1_024, ge=2)
    holdout: float = Field(default=0.2, gt=0, lt=0.9)
    max_rows: int = Field(default=1_500_000, ge=1_000)
    max_train_rows: int = Field(default=100_000, ge=256)
    min_rows: int = Field(default=2_000, ge=500)
    min_hours: float = Field(default=6.0, ge=0)
    seed: int = Field(default=0, ge=0)
    gate: ForestGateSettings = ForestGateSettings()
