"""The rows a forest is trained and judged on: deviations, split by time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.dataset import iso_instant, offset_ranges
from rtmlops_lib.models.detect import Detector, Episode, batches_of_frame, replay
from rtmlops_lib.models.features import micros
from rtmlops_lib.models.forest_settings import ForestSettings
from rtmlops_lib.streams import ColumnBatch, StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ForestDataset"]

_REMEDY = "give a longer --since, or run 'rtmlops generate --backfill 7d'"


@dataclass(frozen=True, slots=True)
class ForestDataset:
    """What a forest may learn from, and newer rows that it is judged by.

    Parameters
    ----------
    train, holdout : ndarray of float32, shape (n, metrics)
        Deviations as the detector itself computes them, of rows that no detector
        flagged and whose series has a history.
    later : list of ColumnBatch
        The held-out events.
    state : bytes
        The detector as it was before them.
    alarms : list of Episode
        What it tells of in them without a forest.
    series_days : float
        Length of the held-out time, times series.
    rows : int
        Rows read.
    flagged_share : float, optional
        Share of them left out because a detector had flagged them; None where no
        flags exist.
    """

    spec: StreamSpec
    train: NDArray[np.float32]
    holdout: NDArray[np.float32]
    later: list[ColumnBatch]
    state: bytes
    alarms: list[Episode]
    series_days: float
    rows: int
    flagged_share: float | None
    first_us: int
    split_us: int
    last_us: int
    data_hash: str
    offsets: str

    @property
    def window(self) -> tuple[str, str]:
        """First and last instant, ISO 8601."""
        return iso_instant(self.first_us), iso_instant(self.last_us)

    @classmethod
    def of_frame(
        cls,
        frame: pd.DataFrame,
        spec: StreamSpec,
        settings: ForestSettings,
        *,
        flagged: NDArray[np.bool_] | None = None,
        split_at: int | None = None,
        on_rows: Callable[[int], None] = lambda count: None,
    ) -> ForestDataset:
        """Lead a detector through stored events and keep what it saw.

        Parameters
        ----------
        frame : DataFrame
            Time, series key, numeric fields.
        flagged : ndarray of bool, shape (n,), optional
            Rows that a detector had flagged: part of the past of the rows after them,
            but nothing to learn from.
        split_at : int, optional
            First held-out instant in microseconds; else ``settings.holdout`` decides.

        Raises
        ------
        UsageError
            For a missing column, too few rows, or too short a time.
        """
        time = micros(frame[spec.time.field])
        order = np.argsort(time, kind="stable")[-settings.max_rows :]
        frame, time = frame.iloc[order], time[order]
        marked = np.zeros(len(time), np.bool_) if flagged is None else flagged[order]
        _check_enough(time, settings)
        split = split_at
        if split is None:
            split = int(time[-1] - settings.holdout * (time[-1] - time[0]))
        cut = int(np.searchsorted(time, split))
        detector = Detector(spec)
        older = replay(
            detector,
            batches_of_frame(frame.iloc[:cut], spec),
            keep_inputs=True,
            on_rows=on_rows,
        )
        state = detector.snapshot()
        later = list(batches_of_frame(frame.iloc[cut:], spec))
        newer = replay(
            detector,
            later,
            keep_inputs=True,
            on_rows=lambda count: on_rows(cut + count),
        )
        train = _usable(older.inputs, marked[:cut])
        holdout = _usable(newer.inputs, marked[cut:])
        if len(train) < settings.min_rows or not len(holdout):
            raise UsageError(
                f"{len(train):,} of {cut:,} rows have a history and no flag, "
                f"{settings.min_rows:,} are needed, and newer ones to be judged by",
                remedy=_REMEDY,
            )
        if len(train) > settings.max_train_rows:
            random = np.random.default_rng(settings.seed)
            train = random.choice(train, settings.max_train_rows, replace=False)
        held_days = (int(time[-1]) - split) / 86_400e6
        return cls(
            spec=spec,
            train=train,
            holdout=holdout,
            later=later,
            state=state,
            alarms=newer.episodes,
            series_days=held_days * len(newer.names),
            rows=len(time),
            flagged_share=None if flagged is None else float(marked.mean()),
            first_us=int(time[0]),
            split_us=split,
            last_us=int(time[-1]),
            data_hash=_hash(time, frame, spec),
            offsets=offset_ranges(frame),
        )


def _usable(
    inputs: NDArray[np.float32], flagged: NDArray[np.bool_]
) -> NDArray[np.float32]:
    return inputs[inputs.any(axis=1) & ~flagged]


def _check_enough(time: NDArray[np.int64], settings: ForestSettings) -> None:
    hours = (int(time[-1]) - int(time[0])) / 3.6e9 if len(time) else 0.0
    if len(time) < settings.min_rows:
        raise UsageError(
            f"{len(time):,} rows are too few to train on, "
            f"{settings.min_rows:,} are needed",
            remedy=_REMEDY,
        )
    if hours < settings.min_hours:
        raise UsageError(
            f"the rows span {hours:.1f} h, {settings.min_hours:g} h are needed",
            remedy=_REMEDY,
        )


def _hash(time: NDArray[np.int64], frame: pd.DataFrame, spec: StreamSpec) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(time).tobytes())
    for name in spec.numeric_fields:
        numbers = frame[name].to_numpy(np.float64, na_value=np.nan)
        digest.update(np.ascontiguousarray(numbers).tobytes())
    for name in spec.series_key:
        digest.update("\n".join(frame[name].astype(str)).encode())
    return digest.hexdigest()
