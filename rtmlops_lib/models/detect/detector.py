"""All witnesses on one partition of a stream, joined into one score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect import _snapshot
from rtmlops_lib.models.detect._testimony import CHANNELS, told
from rtmlops_lib.models.detect.deviations import Deviations
from rtmlops_lib.models.detect.episode import Episode
from rtmlops_lib.models.detect.episodes import EpisodeTracker
from rtmlops_lib.models.detect.scores import ISOLATION_FOREST, POWER_RESIDUAL, Scores
from rtmlops_lib.models.detect.series import series_of
from rtmlops_lib.models.detect.settings import DetectorSettings
from rtmlops_lib.models.detect.streaming import StreamingDetector, judged
from rtmlops_lib.models.detect.witness_models import WitnessModels
from rtmlops_lib.streams import ColumnBatch, StreamSpec

if TYPE_CHECKING:
    from rtmlops_lib.models.hot_models import ServedModel

__all__ = ["Detection", "Detector"]

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
        self._settings = DetectorSettings()
        self._reset()

    def _reset(self) -> None:
        channels = list(self.spec.numeric_fields)
        if self.spec.target is not None:
            channels.append(CHANNELS[POWER_RESIDUAL])
        self._rows = StreamingDetector(channels, self._settings)
        self._forest = StreamingDetector([CHANNELS[ISOLATION_FOREST]], self._settings)
        self._episodes = EpisodeTracker()
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
        fields = self.spec.numeric_fields
        self._meet(models)
        series = series_of(events)
        values = {name: _numbers(events, name) for name in fields}
        if self.spec.target is not None:
            predicted = np.full(len(events), np.nan)
            if models.power is not None:
                predicted = models.power.model.predict_batch(events)
            values[CHANNELS[POWER_RESIDUAL]] = values[self.spec.target] - predicted
        found = self._rows.deviate(series, events.time, values)
        inputs = found.inputs(len(fields))
        witnesses = ["statistical"]
        if models.power is not None and self.spec.target is not None:
            witnesses.append(POWER_RESIDUAL)
        if models.forest is not None:
            witnesses.append(ISOLATION_FOREST)
            found = self._ask(models.forest, series, events.time, found, inputs)
        scores = told(judged(found, self._settings), found, values, self.spec)
        scores.witnesses = tuple(witnesses)
        by_row = found.order.argsort()
        return Detection(
            scores,
            self._episodes.update(series, events.time, scores),
            inputs[by_row],
        )

    def _ask(
        self,
        served: ServedModel[Any],
        series: NDArray[Any],
        time: NDArray[np.int64],
        found: Deviations,
        inputs: NDArray[np.float32],
    ) -> Deviations:
        """Add how unusual the forest's score is for its series."""
        score = served.model.score(inputs)
        # Of a row of which nothing is known there is nothing to say.
        score[~inputs.any(axis=1)] = np.nan
        order = found.order
        values = {CHANNELS[ISOLATION_FOREST]: score}
        said = self._forest.deviate(series[order], time[order], values)
        # To look more usual than usual is no anomaly.
        said.rarity[said.z < 0] = 0.0
        return found.joined(said)

    def _meet(self, models: WitnessModels) -> None:
        for witness, served, place in (
            (POWER_RESIDUAL, models.power, self._rows),
            (ISOLATION_FOREST, models.forest, self._forest),
        ):
            if served is None or CHANNELS[witness] not in place.metrics:
                continue
            version = _name(served)
            if self._versions.setdefault(witness, version) != version:
                place.forget(CHANNELS[witness])
                self._versions[witness] = version

    def snapshot(self) -> bytes:
        """Return the whole state, from which ``restore`` goes on."""
        parts = [p.snapshot() for p in (self._rows, self._forest, self._episodes)]
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
        if rows.metrics != detector._rows.metrics or about["stream"] != spec.name:
            raise _snapshot.refused(f"is of other metrics: {', '.join(rows.metrics)}")
        detector._rows = rows
        detector._forest = StreamingDetector.restore(parts[first:second])
        detector._episodes = EpisodeTracker.restore(parts[second:])
        detector._versions = dict(about["versions"])
        return detector


def _name(served: ServedModel[Any]) -> str:
    # Not the number alone: a registry that was made anew counts from 1 again.
    files = served.version.sha256
    return f"{served.version.version} {' '.join(files[k] for k in sorted(files))}"


def _numbers(events: ColumnBatch, name: str) -> NDArray[np.float64]:
    column = np.asarray(events.columns[name], np.float64)
    if name in events.nulls:
        column = np.where(events.nulls[name], np.nan, column)
    return column
