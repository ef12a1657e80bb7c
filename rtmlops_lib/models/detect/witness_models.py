"""The models that may stand by the detector as witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtmlops_lib.models.detect.forest import AnomalyForest
    from rtmlops_lib.models.hot_models import ServedModel
    from rtmlops_lib.models.power import PowerModel

__all__ = ["WitnessModels"]


@dataclass(frozen=True, slots=True)
class WitnessModels:
    """Who serves now; read once a batch, so that a batch has one version of each.

    Parameters
    ----------
    power : ServedModel of PowerModel, optional
        The champion of the stream's target.
    forest : ServedModel of AnomalyForest, optional
        The champion of the stream's detector.
    """

    power: ServedModel[PowerModel] | None = None
    forest: ServedModel[AnomalyForest] | None = None
