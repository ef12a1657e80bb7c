"""The models that stand by a stream's detector, followed while they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.aliases import CHAMPION
from rtmlops_lib.models.detect.forest import AnomalyForest
from rtmlops_lib.models.detect.witness_models import WitnessModels
from rtmlops_lib.models.forest_files import load_forest
from rtmlops_lib.models.hot_models import HotModels, ServedModel
from rtmlops_lib.models.names import detector_name, model_folder, model_name
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.power_files import load_power
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["Witnesses", "wait_for_witnesses", "witnesses_of"]

log = get_logger(__name__)

# A registry that refuses takes 2 s, one that is silent 11 s. What there is must be
# downloaded and loaded, which takes a while where the machine is busy.
LOAD_SECONDS = 60.0
# Where a detector keeps verified files: a predictor on the same machine has others
# open, and each clears away what it does not serve.
_FOLDER = "detector"


class Witnesses:
    """The champions of a stream's power model and forest, each where there is one.

    Parameters
    ----------
    power : HotModels of PowerModel, optional
    forest : HotModels of AnomalyForest, optional
    """

    def __init__(
        self,
        power: HotModels[PowerModel] | None = None,
        forest: HotModels[AnomalyForest] | None = None,
    ) -> None:
        self.power = power
        self.forest = forest

    @property
    def followed(self) -> dict[str, HotModels[Any]]:
        """What is followed, by the witness's name."""
        both: dict[str, HotModels[Any] | None] = {
            "power": self.power,
            "forest": self.forest,
        }
        return {name: one for name, one in both.items() if one is not None}

    @property
    def models(self) -> WitnessModels:
        """Who serves now; read once a batch."""
        return WitnessModels(power=_champion(self.power), forest=_champion(self.forest))

    def start(self) -> None:
        """Begin to follow them."""
        for one in self.followed.values():
            one.start()

    def pending(self) -> list[HotModels[Any]]:
        """Return those of which it is not known yet whether there is a champion."""
        return [one for one in self.followed.values() if not one.asked]

    def close(self) -> None:
        """Stop following; twice is fine."""
        for one in self.followed.values():
            one.close()


def witnesses_of(
    settings: Settings, specs: Sequence[StreamSpec]
) -> dict[str, Witnesses]:
    """Return what follows each stream's models; nothing is asked before it starts."""
    registry = ModelRegistry(settings.mlflow_tracking_uri)
    found = {}
    for spec in specs:
        power = None
        if spec.target is not None:
            name = model_name(settings, spec)
            power = HotModels(
                registry,
                name,
                partial(_load_power, spec),
                _folder(settings, name),
                roles=(CHAMPION,),
            )
        name = detector_name(settings, spec)
        forest = HotModels(
            registry,
            name,
            partial(_load_forest, spec),
            _folder(settings, name),
            roles=(CHAMPION,),
        )
        found[spec.name] = Witnesses(power, forest)
    return found


def wait_for_witnesses(
    witnesses: Sequence[Witnesses], waiting: Callable[[], bool] = lambda: True
) -> None:
    """Return when every champion is loaded, or known not to be had.

    What serves from the first event on is then the same after every start.

    Parameters
    ----------
    witnesses : sequence of Witnesses
    waiting : callable
        Asked again and again whether to go on.
    """
    deadline = time.monotonic() + LOAD_SECONDS
    while waiting():
        pending = [one.name for each in witnesses for one in each.pending()]
        if not pending:
            return
        if time.monotonic() > deadline:
            log.warning("models_not_waited_for", models=pending)
            return
        time.sleep(0.02)


def _folder(settings: Settings, name: str) -> Path:
    folder = model_folder(settings, name)
    return folder.parent / _FOLDER / folder.name


def _load_power(spec: StreamSpec, folder: Path, version: ModelVersion) -> PowerModel:
    return load_power(folder, version.sha256, spec)


def _load_forest(
    spec: StreamSpec, folder: Path, version: ModelVersion
) -> AnomalyForest:
    return load_forest(folder, version.sha256, spec)


def _champion(models: HotModels[Any] | None) -> ServedModel[Any] | None:
    if models is None:
        return None
    return next((one for one in models.snapshot if one.role == CHAMPION), None)
