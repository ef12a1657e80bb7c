"""The power model to files and back, with every check before it may serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rtmlops_lib.models.bundle import read_bundle, write_bundle
from rtmlops_lib.models.errors import ModelRefused
from rtmlops_lib.models.features import Features
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.training import Trained
from rtmlops_lib.streams import StreamSpec

__all__ = ["load_power", "save_power"]

FORMAT = 1
PROBE_ROWS = 64


def save_power(folder: Path, trained: Trained, spec: StreamSpec) -> dict[str, str]:
    """Write a candidate; return each file's SHA-256.

    The manifest carries some rows and what the model said of them, so that whoever
    loads it can see that it says the same there.
    """
    model, holdout = trained.model, trained.dataset.holdout
    rows = np.linspace(0, len(holdout) - 1, PROBE_ROWS).astype(np.int64)
    probe = holdout.x[rows]
    known = np.where(np.isfinite(probe), probe, model.fill)
    return write_bundle(
        folder,
        model.estimator,
        {
            "format": FORMAT,
            "stream": spec.name,
            "target": spec.target,
            "features": {
                "inputs": list(model.features.inputs),
                "cycles": list(model.features.cycles),
                "increasing": list(model.features.increasing),
            },
            "fill": model.fill.tolist(),
            "probe": {
                "x": known.tolist(),
                "predicted": model.predict(probe).tolist(),
            },
            "settings": trained.settings.model_dump(),
        },
    )


def load_power(
    folder: Path, expected: Mapping[str, str], spec: StreamSpec
) -> PowerModel:
    """Return a model that passed every check and predicts what it did in training.

    Raises
    ------
    ModelRefused
        By the name of the check: ``sha256``, ``trusted types``, ``manifest``,
        ``schema``, ``probe``.
    """
    estimator, manifest = read_bundle(folder, expected)
    try:
        if manifest["format"] != FORMAT:
            raise ModelRefused(
                f"manifest: format {manifest['format']!r} is not {FORMAT}",
                remedy="train a new version with this release",
            )
        stated = manifest["features"]
        features = Features(
            tuple(stated["inputs"]),
            tuple(stated["cycles"]),
            tuple(stated["increasing"]),
        )
        fill = np.array(manifest["fill"], np.float32)
        probe = np.array(manifest["probe"]["x"], np.float32)
        promised = np.array(manifest["probe"]["predicted"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRefused(f"manifest: {error!r} is missing or malformed") from error
    _check_schema(manifest, features, fill, estimator, spec)
    model = PowerModel(estimator, features, fill)
    _check_probe(model, probe, promised)
    return model


def _check_schema(
    manifest: Mapping[str, Any],
    features: Features,
    fill: np.ndarray[Any, Any],
    estimator: Any,
    spec: StreamSpec,
) -> None:
    about = (manifest.get("stream"), manifest.get("target"))
    if about != (spec.name, spec.target):
        raise ModelRefused(
            f"schema: the model predicts {about[1]!r} of stream {about[0]!r}, wanted "
            f"is {spec.target!r} of {spec.name!r}"
        )
    known = set(spec.numeric_fields) - {spec.target}
    absent = [name for name in features.inputs if name not in known]
    if absent:
        raise ModelRefused(
            f"schema: the model reads {absent[0]!r}, which stream "
            f"{spec.name!r} has not as an input",
            remedy="train a version on the stream as it is now",
        )
    width = len(features.names)
    if len(fill) != width or getattr(estimator, "n_features_in_", None) != width:
        raise ModelRefused(
            f"schema: the estimator reads {getattr(estimator, 'n_features_in_', '?')} "
            f"columns, the manifest names {width}"
        )


def _check_probe(
    model: PowerModel,
    probe: np.ndarray[Any, Any],
    promised: np.ndarray[Any, Any],
) -> None:
    try:
        found = model.predict(probe)
    except Exception as error:
        raise ModelRefused(f"probe: prediction failed: {error!r}") from error
    if found.shape != promised.shape or not np.allclose(found, promised, rtol=1e-6):
        raise ModelRefused(
            "probe: the model does not predict here what it did in training",
            remedy="use the package versions in the version's tags, or train anew",
        )
