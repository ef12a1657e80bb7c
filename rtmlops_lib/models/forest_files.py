"""The detector's forest to files and back, with every check before it may serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.bundle import read_bundle, write_bundle
from rtmlops_lib.models.detect import AnomalyForest
from rtmlops_lib.models.errors import ModelRefused
from rtmlops_lib.models.forest_settings import ForestSettings
from rtmlops_lib.streams import StreamSpec

__all__ = ["load_forest", "save_forest"]

FORMAT = 1
PROBE_ROWS = 64


def save_forest(
    folder: Path,
    forest: AnomalyForest,
    probe: NDArray[np.float32],
    spec: StreamSpec,
    settings: ForestSettings,
) -> dict[str, str]:
    """Write a candidate; return each file's SHA-256.

    Parameters
    ----------
    probe : ndarray of float32, shape (n, metrics)
        Rows of which some go with the model, and what it says of them.
    """
    rows = np.linspace(0, len(probe) - 1, PROBE_ROWS).astype(np.int64)
    return write_bundle(
        folder,
        forest.estimator,
        {
            "format": FORMAT,
            "stream": spec.name,
            "metrics": list(forest.metrics),
            "probe": {
                "x": probe[rows].tolist(),
                "score": forest.score(probe[rows]).tolist(),
            },
            "settings": settings.model_dump(),
        },
    )


def load_forest(
    folder: Path, expected: Mapping[str, str], spec: StreamSpec
) -> AnomalyForest:
    """Return a forest that passed every check and says what it did in training.

    Raises
    ------
    ModelRefused
        By the name of the check: ``sha256``, ``trusted types``, ``manifest``,
        ``schema``, ``probe``.
    """
    estimator, manifest = read_bundle(
        folder, expected, estimators=frozenset({"IsolationForest"})
    )
    try:
        if manifest["format"] != FORMAT:
            raise ModelRefused(
                f"manifest: format {manifest['format']!r} is not {FORMAT}",
                remedy="train a new version with this release",
            )
        metrics = tuple(manifest["metrics"])
        probe = np.array(manifest["probe"]["x"], np.float32)
        promised = np.array(manifest["probe"]["score"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRefused(f"manifest: {error!r} is missing or malformed") from error
    _check_schema(manifest, metrics, estimator, spec)
    try:
        forest = AnomalyForest(estimator, metrics)
        found = forest.score(probe)
    except Exception as error:
        raise ModelRefused(f"probe: scoring failed: {error!r}") from error
    if found.shape != promised.shape or not np.allclose(found, promised, rtol=1e-6):
        raise ModelRefused(
            "probe: the forest does not say here what it did in training",
            remedy="use the package versions in the version's tags, or train anew",
        )
    return forest


def _check_schema(
    manifest: Mapping[str, Any],
    metrics: tuple[str, ...],
    estimator: Any,
    spec: StreamSpec,
) -> None:
    if manifest.get("stream") != spec.name or metrics != spec.numeric_fields:
        raise ModelRefused(
            f"schema: the forest reads {', '.join(map(str, metrics))} of stream "
            f"{manifest.get('stream')!r}, wanted are {', '.join(spec.numeric_fields)} "
            f"of {spec.name!r}",
            remedy="train a version on the stream as it is now: 'rtmlops train "
            "detector'",
        )
    width = getattr(estimator, "n_features_in_", None)
    if width != len(metrics):
        raise ModelRefused(
            f"schema: the estimator reads {width} columns, the manifest names "
            f"{len(metrics)}"
        )
