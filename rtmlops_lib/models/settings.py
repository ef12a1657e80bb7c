"""Every number that decides how the power model is made and judged."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["GateSettings", "PowerSettings"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateSettings(_Frozen):
    """When a version may become champion.

    Parameters
    ----------
    confidence : float
        Of the bootstrap interval of the error difference.
    resamples : int
        Bootstrap resamples.
    block_seconds, min_block_seconds, blocks : float, float, int
        Errors within a block are dependent, blocks are taken as independent. Shorter
        ones, down to the minimum, where the rows do not span so many.
    min_blocks : int
        Fewer give no verdict.
    group_margin : float
        A server group may be worse by this share of the champion's error.
    groups : int
        Servers are grouped by their mean target into so many of equal size.
    max_micros_per_row : float
        Speed ceiling, at ``speed_rows`` rows.
    min_spread : float
        Predictions that vary less than this share of the target's standard deviation
        are those of a constant model.
    max_decrease : float
        So much, in the target's standard deviations, the mean prediction may fall
        while an input grows of which more never needs less.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=2_000, ge=200, le=100_000)
    block_seconds: float = Field(default=3_600.0, gt=0)
    min_block_seconds: float = Field(default=600.0, gt=0)
    blocks: int = Field(default=12, ge=2)
    min_blocks: int = Field(default=6, ge=2)
    group_margin: float = Field(default=0.05, ge=0)
    groups: int = Field(default=4, ge=1, le=50)
    max_micros_per_row: float = Field(default=25.0, gt=0)
    speed_rows: int = Field(default=5_000, ge=1)
    min_spread: float = Field(default=0.1, ge=0, lt=1)
    max_decrease: float = Field(default=0.02, ge=0)


class PowerSettings(_Frozen):
    """How the power model is trained.

    Parameters
    ----------
    kind : {"forest", "linear", "boosting"}
        ``forest`` is the book's model.
    trees, max_depth, min_samples_leaf, max_features, max_samples
        Of the forest; deeper trees cost more to predict than they gain.
    iterations, learning_rate
        Of the boosting.
    holdout : float
        Share of the rows, the newest, that no model sees in training.
    max_train_rows : int
        Beyond, every k-th row is taken: neighbours in time say the same.
    min_rows, min_hours : int, float
        Below, training is refused.
    reference_rows : int
        Size of the raw sample that is kept with the model.

    Examples
    --------
    >>> PowerSettings().trees, PowerSettings().max_depth
    (100, 12)
    """

    kind: Literal["forest", "linear", "boosting"] = "forest"
    trees: int = Field(default=100, ge=1, le=1_000)
    max_depth: int = Field(default=12, ge=1, le=64)
    min_samples_leaf: int = Field(default=20, ge=1)
    max_features: float = Field(default=0.7, gt=0, le=1)
    max_samples: float = Field(default=0.5, gt=0, le=1)
    iterations: int = Field(default=100, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    holdout: float = Field(default=0.2, gt=0, lt=0.9)
    max_train_rows: int = Field(default=60_000, ge=100)
    max_holdout_rows: int = Field(default=60_000, ge=100)
    min_rows: int = Field(default=2_000, ge=10)
    min_hours: float = Field(default=6.0, ge=0)
    reference_rows: int = Field(default=50_000, ge=100)
    seed: int = Field(default=0, ge=0)
    gate: GateSettings = GateSettings()
