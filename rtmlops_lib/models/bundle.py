"""A model as files: written once, checked before every use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rtmlops_lib.models.errors import ModelRefused

__all__ = [
    "MANIFEST",
    "MODEL",
    "TRUSTED_TYPES",
    "check_hash",
    "read_bundle",
    "sha256",
    "write_bundle",
]

MODEL, MANIFEST = "model.skops", "model.json"
# What may stand in a model file beyond skops' own list; nothing is added to it by
# what a file says of itself. The trees' arrays are checked by scikit-learn on load.
TRUSTED_TYPES = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
# The estimators that training makes: skops trusts many more.
ESTIMATORS = frozenset(
    {
        "HistGradientBoostingRegressor",
        "IsolationForest",
        "LinearRegression",
        "RandomForestRegressor",
    }
)


def write_bundle(
    folder: Path, estimator: Any, manifest: Mapping[str, Any]
) -> dict[str, str]:
    """Write an estimator and what is to be known of it; return each file's SHA-256."""
    import zipfile

    import skops.io

    folder.mkdir(parents=True, exist_ok=True)
    # Fast compression: a forest's arrays shrink to a third, at a second each.
    skops.io.dump(
        estimator,
        folder / MODEL,
        compression=zipfile.ZIP_DEFLATED,
        compresslevel=1,
    )
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return {name: sha256(folder / name) for name in (MODEL, MANIFEST)}


def read_bundle(
    folder: Path,
    expected: Mapping[str, str],
    *,
    estimators: Collection[str] = ESTIMATORS,
) -> tuple[Any, dict[str, Any]]:
    """Return estimator and manifest of files that are what was registered.

    Parameters
    ----------
    folder : Path
    expected : mapping of str to str
        SHA-256 by file name, as registered.
    estimators : collection of str
        Names of the classes that may come out.

    Raises
    ------
    ModelRefused
        For a file that is missing, other than registered, holds a type beyond our
        list, or cannot be read. Nothing of a file is unpacked before its hash fits.
    """
    for name in (MODEL, MANIFEST):
        check_hash(folder / name, expected.get(name))
    import skops.io

    path = folder / MODEL
    try:
        unknown = set(skops.io.get_untrusted_types(file=path)) - TRUSTED_TYPES
        if unknown:
            raise ModelRefused(
                f"trusted types: {MODEL} holds {', '.join(sorted(unknown))}",
                remedy="only models that 'rtmlops train' made are loaded",
            )
        estimator = skops.io.load(path, trusted=sorted(TRUSTED_TYPES))
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except ModelRefused:
        raise
    except Exception as error:
        raise ModelRefused(
            f"manifest: the model's files cannot be read: {error!r}",
            remedy="train a new version with the release of scikit-learn in use",
        ) from error
    if type(estimator).__name__ not in estimators:
        raise ModelRefused(
            f"trusted types: the model is a {type(estimator).__name__}",
            remedy=f"one of {', '.join(sorted(estimators))} is expected",
        )
    if not isinstance(manifest, dict):
        raise ModelRefused("manifest: it is no mapping")
    return estimator, manifest


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(path: Path, expected: str | None) -> None:
    """Raise ``ModelRefused`` where a file is not what was registered."""
    if expected is None:
        raise ModelRefused(
            f"sha256: the version has no tag 'sha256.{path.name}'",
            remedy="only versions that 'rtmlops train' registered are loaded",
        )
    if not path.is_file():
        raise ModelRefused(f"sha256: {path.name} is missing from the artifacts")
    found = sha256(path)
    if found != expected:
        raise ModelRefused(
            f"sha256: {path.name} has {found[:12]}…, registered was {expected[:12]}…",
            remedy="the file was changed or cut; train a new version",
        )
