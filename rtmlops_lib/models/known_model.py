"""The models that a site's streams can have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rtmlops_lib.models.names import detector_name, model_name
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["KnownModel", "ModelKind", "known_models"]

ModelKind = Literal["power", "anomaly"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model by its registered name.

    Parameters
    ----------
    name : str
    spec : StreamSpec
        The stream that it is made of.
    kind : {"power", "anomaly"}
        Whether it predicts the stream's target or is the forest that its detector
        asks.
    """

    name: str
    spec: StreamSpec
    kind: ModelKind


def known_models(
    settings: Settings, specs: Iterable[StreamSpec]
) -> dict[str, KnownModel]:
    """Return by name the models that these streams can have, trained or not.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> list(known_models(Settings(), builtin_specs().values()))
    ['datacenter-power_kw', 'datacenter-detector', 'services-detector']
    """
    found: list[KnownModel] = []
    for spec in specs:
        if spec.target is not None:
            found.append(KnownModel(model_name(settings, spec), spec, "power"))
        if spec.watched and spec.numeric_fields:
            found.append(KnownModel(detector_name(settings, spec), spec, "anomaly"))
    return {model.name: model for model in found}
