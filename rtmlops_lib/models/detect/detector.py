"""All witnesses on one partition of a stream, joined into one score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect import _snapshot
from rtmlops_lib.models.detect.episode import Episode
from rtmlops_lib.models.detect.episodes import EpisodeTracker
from rtmlops_lib.models.detect.scores import Scores
from rtmlops_lib.models.detect.streaming import StreamingDetector
from rtmlops_lib.streams import ColumnBatch, StreamSpec

__all__ = ["Detection", "Detector"]

_KIND = "detector"


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector says of some events.

    Parameters
    ----------
    scores : Scores
        One a row, in the rows' order.
    episodes : list of Episode
        Those that began, went on or ended with these rows, each as it is now.
    """

    scores: Scores
    episodes: list[Episode]


class Detector:
    """Scores a partition's events in their order, and learns from them.

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
        self._statistical = StreamingDetector(spec.numeric_fields)
        self._episodes = EpisodeTracker()

    def update(self, events: ColumnBatch) -> Detection:
        """Score ``events`` (n rows), oldest offset first, and learn from them."""
        series = _series(events)
        values = {
            name: np.asarray(events.columns[name], np.float64)
            for name in self.spec.numeric_fields
        }
        scores = self._statistical.score(series, events.time, values)
        return Detection(scores, self._episodes.update(series, events.time, scores))

    def snapshot(self) -> bytes:
        """Return the whole state, from which ``restore`` goes on."""
        parts = [self._statistical.snapshot(), self._episodes.snapshot()]
        return _snapshot.pack(
            _KIND,
            {"stream": self.spec.name, "sizes": [len(part) for part in parts]},
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
        parts, cut = arrays["parts"].tobytes(), about["sizes"][0]
        detector = cls(spec)
        detector._statistical = StreamingDetector.restore(parts[:cut])
        detector._episodes = EpisodeTracker.restore(parts[cut:])
        return detector


def _series(events: ColumnBatch) -> NDArray[Any]:
    keys = [events.columns[name] for name in events.spec.series_key]
    if len(keys) == 1:
        return keys[0]
    names = np.empty(len(events), object)
    names[:] = list(zip(*(key.tolist() for key in keys), strict=True))
    return names
