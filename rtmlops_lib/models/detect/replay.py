"""A detector led through events that are already there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.detect.detector import Detector
from rtmlops_lib.models.detect.episode import Episode
from rtmlops_lib.models.detect.series import series_of
from rtmlops_lib.models.detect.witness_models import WitnessModels
from rtmlops_lib.models.features import micros
from rtmlops_lib.streams import ColumnBatch, FieldType, StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Replay", "Replayer", "batches_of_frame", "replay"]

BATCH_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class Replay:
    """What a detector said of n events.

    Parameters
    ----------
    time : ndarray of int64, shape (n,)
        Microseconds since 1970.
    series : ndarray of int32, shape (n,)
        Each row's place in ``names``.
    names : list
        The series met: names of servers, or tuples of names.
    score : ndarray of float32, shape (n,)
    inputs : ndarray of float32, shape (n, metrics)
        What a forest sees of each row; empty unless it was asked for.
    episodes : list of Episode
        Each as it was last.
    witnesses : tuple of str
        Who took part, in the last batch.
    """

    time: NDArray[np.int64]
    series: NDArray[np.int32]
    names: list[Any]
    score: NDArray[np.float32]
    inputs: NDArray[np.float32]
    episodes: list[Episode]
    witnesses: tuple[str, ...] = ()


class Replayer:
    """Leads a detector through batches and keeps what it says.

    Parameters
    ----------
    detector : Detector
        Goes on from where it is.
    models : WitnessModels, optional
    keep_inputs : bool
        Whether what a forest sees is kept, too.
    """

    def __init__(
        self,
        detector: Detector,
        models: WitnessModels | None = None,
        *,
        keep_inputs: bool = False,
    ) -> None:
        self.detector = detector
        self.models = WitnessModels() if models is None else models
        self.keep_inputs = keep_inputs
        self.rows = 0
        self._reset()

    def _reset(self) -> None:
        self._index: dict[Any, int] = {}
        self._time = [np.empty(0, np.int64)]
        self._series = [np.empty(0, np.int32)]
        self._score = [np.empty(0, np.float32)]
        width = len(self.detector.spec.numeric_fields)
        self._inputs = [np.empty((0, width), np.float32)]
        self._episodes: dict[tuple[Any, int], Episode] = {}
        self._witnesses: tuple[str, ...] = ()

    def feed(self, batch: ColumnBatch) -> None:
        """Take in the next events."""
        detection = self.detector.update(batch, self.models)
        index = self._index
        names = series_of(batch).tolist()
        places = (index.setdefault(name, len(index)) for name in names)
        self._series.append(np.fromiter(places, np.int32, len(batch)))
        self._time.append(batch.time)
        self._score.append(detection.scores.score.astype(np.float32))
        if self.keep_inputs:
            self._inputs.append(detection.inputs)
        for episode in detection.episodes:
            self._episodes[episode.series, episode.started_at] = episode
        self._witnesses = detection.scores.witnesses
        self.rows += len(batch)

    def result(self) -> Replay:
        """Return all that was said so far."""
        return Replay(
            time=np.concatenate(self._time),
            series=np.concatenate(self._series),
            names=list(self._index),
            score=np.concatenate(self._score),
            inputs=np.concatenate(self._inputs),
            episodes=list(self._episodes.values()),
            witnesses=self._witnesses,
        )


def replay(
    detector: Detector,
    batches: Iterable[ColumnBatch],
    models: WitnessModels | None = None,
    *,
    keep_inputs: bool = False,
    on_rows: Callable[[int], None] = lambda count: None,
) -> Replay:
    """Lead a detector through batches, oldest first; return what it said.

    Parameters
    ----------
    detector : Detector
        Goes on from where it is.
    batches : iterable of ColumnBatch
        Of the detector's stream.
    models : WitnessModels, optional
    keep_inputs : bool
        Whether what a forest sees is kept, too.
    on_rows : callable
        Told the number of rows so far.
    """
    replayer = Replayer(detector, models, keep_inputs=keep_inputs)
    for batch in batches:
        replayer.feed(batch)
        on_rows(replayer.rows)
    return replayer.result()


def batches_of_frame(
    frame: pd.DataFrame, spec: StreamSpec, *, rows: int = BATCH_ROWS
) -> Iterator[ColumnBatch]:
    """Yield stored events as a service would read them, in order of time.

    Parameters
    ----------
    frame : DataFrame
        Time, series key and numeric fields; other columns are not looked at.

    Raises
    ------
    UsageError
        For a missing column.
    """
    import pandas as pd

    needed = (spec.time.field, *spec.series_key, *spec.numeric_fields)
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise UsageError(
            f"the rows have no column {missing[0]!r}",
            remedy=f"stream {spec.name!r} needs {', '.join(needed)}",
        )
    time = micros(frame[spec.time.field])
    order = np.argsort(time, kind="stable")
    columns: dict[str, NDArray[Any]] = {}
    nulls: dict[str, NDArray[np.bool_]] = {}
    for name in spec.series_key:
        columns[name] = frame[name].to_numpy(object)[order]
    for name in spec.numeric_fields:
        numbers = pd.to_numeric(frame[name]).to_numpy(np.float64, na_value=np.nan)
        numbers = numbers[order]
        if spec.fields[name].type is FieldType.INTEGER:
            nulls[name] = ~np.isfinite(numbers)
            numbers = np.where(nulls[name], 0, numbers).astype(np.int64)
        columns[name] = numbers
    time = time[order]
    for start in range(0, len(time), rows):
        at = slice(start, start + rows)
        size = len(time[at])
        yield ColumnBatch(
            spec=spec,
            time=time[at],
            columns={name: column[at] for name, column in columns.items()},
            partition=np.zeros(size, np.int32),
            offset=np.arange(start, start + size),
            nulls={name: mask[at] for name, mask in nulls.items()},
        )
