"""What a champion's windows are held against: made before it is registered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.bundle import check_hash
from rtmlops_lib.models.errors import ModelRefused
from rtmlops_lib.models.features import Features
from rtmlops_lib.models.pipeline import Beside
from rtmlops_lib.models.registry import ModelVersion
from rtmlops_lib.models.scores import percentage_errors
from rtmlops_lib.models.training import Trained
from rtmlops_lib.monitoring import Calibration, ErrorReference
from rtmlops_lib.streams import StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CALIBRATION",
    "LACKS",
    "DriftReference",
    "drift_reference",
    "read_reference",
    "series_column",
    "with_series",
]

CALIBRATION = "calibration.json"
# A version's tag: why its live error can never be judged, and what helps.
LACKS = "reference_lacks"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class DriftReference:
    """What one version was trained and judged on, as drift is measured from it.

    Parameters
    ----------
    inputs : Calibration
        Of the reference sample's input fields.
    error : ErrorReference
        Of the version's errors on rows it was not trained on.
    """

    inputs: Calibration
    error: ErrorReference

    @property
    def window(self) -> timedelta:
        """Length of the windows that it is made for."""
        return timedelta(microseconds=self.error.window)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return {
            "format": FORMAT,
            "inputs": self.inputs.to_dict(),
            "error": self.error.to_dict(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> DriftReference:
        """Return what ``to_dict`` was made of."""
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']!r} is not {FORMAT}")
        return cls(
            Calibration.from_dict(plain["inputs"]),
            ErrorReference.from_dict(plain["error"]),
        )


def drift_reference(spec: StreamSpec, *, window_seconds: float) -> Beside:
    """Return what makes the drift reference of a version that is being trained.

    Parameters
    ----------
    spec : StreamSpec
    window_seconds : float
        Length of the windows that a monitor will look at.
    """
    window = timedelta(seconds=window_seconds)

    def beside(
        folder: Path, sample: pd.DataFrame, trained: Trained
    ) -> Mapping[str, str]:
        try:
            return _write(folder, sample, trained)
        except (UsageError, ValueError) as error:
            # A model without a reference serves; the monitor says what it lacks.
            return {"reference": f"none: {error}"[:500]}

    def _write(folder: Path, sample: pd.DataFrame, trained: Trained) -> dict[str, str]:
        holdout = trained.dataset.holdout
        reference = DriftReference(
            inputs=Calibration.of_frame(
                with_series(sample, spec),
                window=window,
                features=Features.of_spec(spec).inputs,
                time_column=spec.time.field,
                series_column=series_column(spec),
            ),
            error=ErrorReference.of_errors(
                holdout.time,
                percentage_errors(holdout.y, trained.predicted),
                window=window,
                series=holdout.series,
            ),
        )
        text = json.dumps(reference.to_dict(), allow_nan=False)
        (folder / CALIBRATION).write_text(text, encoding="utf-8")
        thresholds = [f.threshold for f in reference.inputs.features]
        lacks = reference.error.lacks
        return {
            **({} if lacks is None else {LACKS: lacks[:500]}),
            "reference_window_seconds": f"{window_seconds:g}",
            "reference_chunks": str(reference.inputs.chunks),
            "reference_thresholds": str(sum(t is not None for t in thresholds)),
        }

    return beside


def read_reference(folder: Path, version: ModelVersion) -> DriftReference:
    """Return a version's reference from files that are what was registered.

    Raises
    ------
    ModelRefused
        For a version without one, or whose file was changed.
    """
    check_hash(folder / CALIBRATION, version.sha256.get(CALIBRATION))
    try:
        plain = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
        return DriftReference.from_dict(plain)
    except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
        raise ModelRefused(
            f"manifest: the drift reference of v{version.version} cannot be read: "
            f"{error!r}",
            remedy="train a version with this release",
        ) from error


def series_column(spec: StreamSpec) -> str:
    """Return the column that tells series apart in what judges are given."""
    return (
        spec.series_key[0] if len(spec.series_key) == 1 else "/".join(spec.series_key)
    )


def with_series(frame: pd.DataFrame, spec: StreamSpec) -> pd.DataFrame:
    """Return the frame with ``series_column``, whatever the key is made of."""
    name = series_column(spec)
    if name in frame.columns:
        return frame
    joined = frame[spec.series_key[0]].astype("str")
    for key in spec.series_key[1:]:
        joined = joined + "/" + frame[key].astype("str")
    return frame.assign(**{name: joined})
