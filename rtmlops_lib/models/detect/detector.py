"""All witnesses on one partition of a stream, joined into one score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect import _snapshot
from rtmlops_lib.models.detect._testimony import CHANNELS, told
from rtmlops_lib.models.detect.deviations import Deviations
from rtmlops_lib.models.detect.episode import Episode
from rtmlops_lib.models.detect.episodes import EpisodeTracker
from rtmlops_lib.models.detect.scores import (
    ISOLATION_FOREST,
    POWER_RESIDUAL,
    STATISTICAL,
    Scores,
)
from rtmlops_lib.models.detect.series import series_of
from rtmlops_lib.models.detect.settings import DetectorSettings
from rtmlops_lib.models.detect.streaming import (
    StreamingDetector,
    deviate_together,
    judged,
)
from rtmlops_lib.models.detect.witness_models import WitnessModels
from rtmlops_lib.streams import ColumnBatch, StreamSpec

if TYPE_CHECKING:
    from rtmlops_lib.models.hot_models import ServedModel

__all__ = ["Detection", "Detector", "update_together"]

_KIND = "detector"
_NOBODY = WitnessModels()


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector says of some events.

    Parameters
    ----------
    scores : Scores
        One a row, in the rows' order.
    episodes : list of Episode
        Those that began, went on or ended with these rows, each as it is now.
    inputs : ndarray of float32, shape (n, numeric fields)
        What a forest sees of each row: its deviations.
    """

    scores: Scores
    episodes: list[Episode]
    inputs: NDArray[np.float32]


class Detector:
    """Scores a partition's events in their order, and learns from them.

    Three witnesses are heard: each metric's own past; the isolation forest, which
    knows what deviations go together; and, where the stream has a target, how far the
    power model's prediction misses. The last two are watched series by series like
    one metric more, so that all are calibrated alike, and the rarest counts. A model
    that is not there is left out.

    Parameters
    ----------
    spec : StreamSpec
        Its numeric fields are watched, series by series.

    Notes
    -----
    Taught in chapter 07.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self.settings = DetectorSettings()
        self._reset()

    def _reset(self) -> None:
        channels = list(self.spec.numeric_fields)
        if self.spec.target is not None:
            channels.append(CHANNELS[POWER_RESIDUAL])
        self.rows = StreamingDetector(channels, self.settings)
        self.forest = StreamingDetector([CHANNELS[ISOLATION_FOREST]], self.settings)
        self.episodes = EpisodeTracker()
        self._versions: dict[str, str] = {}

    def update(self, events: ColumnBatch, models: WitnessModels = _NOBODY) -> Detection:
        """Score ``events`` (n rows), oldest offset first, and learn from them.

        Parameters
        ----------
        events : ColumnBatch
        models : WitnessModels, optional
            Who serves now. After another version than before, what was learned of
            its predecessor's sayings is forgotten.
        """
        return update_together([self], [events], models)[0]

    def meet(self, models: WitnessModels) -> None:
        """Forget what was learned of the sayings of other versions than these."""
        for witness, served, place in (
            (POWER_RESIDUAL, models.power, self.rows),
            (ISOLATION_FOREST, models.forest, self.forest),
        ):
            if served is None or CHANNELS[witness] not in place.metrics:
                continue
            version = _name(served)
            if self._versions.setdefault(witness, version) != version:
                place.forget(CHANNELS[witness])
                self._versions[witness] = version

    def snapshot(self) -> bytes:
        """Return the whole state, from which ``restore`` goes on."""
        parts = [p.snapshot() for p in (self.rows, self.forest, self.episodes)]
        return _snapshot.pack(
            _KIND,
            {
                "stream": self.spec.name,
                "sizes": [len(part) for part in parts],
                "versions": self._versions,
            },
            {"parts": np.frombuffer(b"".join(parts), np.uint8)},
        )

    @classmethod
    def restore(cls, data: bytes, spec: StreamSpec) -> Detector:
        """Return the detector whose state ``data`` is.

        Raises
        ------
        UsageError
            For bytes that are damaged, of another version, or of another spec's.
        """
        about, arrays = _snapshot.unpack(_KIND, data)
        parts = arrays["parts"].tobytes()
        first, second = np.cumsum(about["sizes"])[:2].tolist()
        detector = cls(spec)
        rows = StreamingDetector.restore(parts[:first])
        if rows.metrics != detector.rows.metrics or about["stream"] != spec.name:
            raise _snapshot.refused(f"is of other metrics: {', '.join(rows.metrics)}")
        detector.rows = rows
        detector.forest = StreamingDetector.restore(parts[first:second])
        detector.episodes = EpisodeTracker.restore(parts[second:])
        detector._versions = dict(about["versions"])
        return detector


def update_together(
    detectors: Sequence[Detector],
    batches: Sequence[ColumnBatch],
    models: WitnessModels = _NOBODY,
) -> list[Detection]:
    """Let each detector score its own batch, as ``update`` does, in less time.

    Parameters
    ----------
    detectors : sequence of Detector
        Of one stream, each once: one a partition.
    batches : sequence of ColumnBatch
    models : WitnessModels, optional
    """
    first = detectors[0]
    spec, fields = first.spec, first.spec.numeric_fields
    for detector in detectors:
        detector.meet(models)
    series = [series_of(batch) for batch in batches]
    time = np.concatenate([batch.time for batch in batches])
    values = {
        name: np.concatenate([_numbers(batch, name) for batch in batches])
        for name in fields
    }
    if spec.target is not None:
        predicted: NDArray[np.float64] = np.full(len(time), np.nan)
        if models.power is not None:
            said = [models.power.model.predict_batch(batch) for batch in batches]
            predicted = np.concatenate(said)
        values[CHANNELS[POWER_RESIDUAL]] = values[spec.target] - predicted
    found = deviate_together([d.rows for d in detectors], series, time, values)
    inputs = found.inputs(len(fields))
    witnesses = [STATISTICAL]
    if models.power is not None and spec.target is not None:
        witnesses.append(POWER_RESIDUAL)
    if models.forest is not None:
        witnesses.append(ISOLATION_FOREST)
        forests = [detector.forest for detector in detectors]
        found = _asked(models.forest, forests, series, time, found, inputs)
    scores = told(judged(found, first.settings), found, values, spec)
    scores.witnesses = tuple(witnesses)
    inputs = inputs[found.order.argsort()]
    detections, start = [], 0
    for detector, batch, names in zip(detectors, batches, series, strict=True):
        rows = slice(start, start + len(batch))
        mine = scores.take(rows)
        episodes = detector.episodes.update(names, batch.time, mine)
        detections.append(Detection(mine, episodes, inputs[rows]))
        start = rows.stop
    return detections


def _asked(
    served: ServedModel[Any],
    forests: Sequence[StreamingDetector],
    series: Sequence[NDArray[Any]],
    time: NDArray[np.int64],
    found: Deviations,
    inputs: NDArray[np.float32],
) -> Deviations:
    """Add how unusual the forest's score is for its series."""
    score = np.empty(len(time))
    score[found.order] = served.model.score(inputs)
    # Of a row of which nothing is known there is nothing to say.
    score[found.order[~inputs.any(axis=1)]] = np.nan
    values = {CHANNELS[ISOLATION_FOREST]: score}
    said = deviate_together(forests, series, time, values)
    # To look more usual than usual is no anomaly.
    said.rarity[said.z < 0] = 0.0
    return found.joined(said)


def _name(served: ServedModel[Any]) -> str:
    # Not the number alone: a registry that was made anew counts from 1 again.
    files = served.version.sha256
    return f"{served.version.version} {' '.join(files[k] for k in sorted(files))}"


def _numbers(events: ColumnBatch, name: str) -> NDArray[np.float64]:
    column = np.asarray(events.columns[name], np.float64)
    if name in events.nulls:
        column = np.where(events.nulls[name], np.nan, column)
    return column
