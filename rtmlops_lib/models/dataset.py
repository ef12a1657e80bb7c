"""The rows a model is trained and judged on, split by time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.errors import TooFewRows
from rtmlops_lib.models.features import Features, micros
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.streams import StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "Rows", "iso_instant", "offset_ranges"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows: inputs, truth, and what the gate needs to know of each."""

    time: NDArray[np.int64]
    x: NDArray[np.float32]
    y: NDArray[np.float64]
    series: NDArray[Any]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[Any]) -> Rows:
        """Return the rows at these places."""
        return Rows(self.time[rows], self.x[rows], self.y[rows], self.series[rows])


@dataclass(frozen=True, slots=True)
class Dataset:
    """Older rows to learn from, newer ones to be judged by, never mixed.

    Parameters
    ----------
    features : Features
    train, holdout : Rows
        All of ``holdout`` is later than all of ``train``.
    rows : int
        Usable rows before any thinning.
    flagged_share : float, optional
        Share of rows left out because a detector had flagged them; None where no
        flags exist.
    data_hash : str
        SHA-256 over the usable rows.
    offsets : str
        Range of Kafka offsets by partition, where the rows carry them.
    """

    features: Features
    train: Rows
    holdout: Rows
    rows: int
    flagged_share: float | None
    data_hash: str
    offsets: str

    @property
    def window(self) -> tuple[str, str]:
        """First and last instant, ISO 8601."""
        return iso_instant(self.train.time[0]), iso_instant(self.holdout.time[-1])

    @property
    def holdout_start_us(self) -> int:
        """First held-out instant, microseconds since 1970."""
        return int(self.holdout.time[0])

    @classmethod
    def of_frame(
        cls,
        frame: pd.DataFrame,
        spec: StreamSpec,
        settings: PowerSettings,
        *,
        flagged: NDArray[np.bool_] | None = None,
        split_at: int | None = None,
    ) -> Dataset:
        """Split stored events.

        Parameters
        ----------
        frame : DataFrame
            Time, series key, inputs, target; Kafka's places where known.
        flagged : ndarray of bool, shape (n,), optional
            Rows to leave out because a detector had flagged them.
        split_at : int, optional
            First held-out instant in microseconds; else ``settings.holdout`` decides.

        Raises
        ------
        UsageError
            For a missing column, too few rows, or too short a time.
        """
        features = Features.of_spec(spec)
        target = spec.target or ""
        missing = [c for c in (*spec.series_key, target) if c not in frame.columns]
        if missing:
            raise UsageError(
                f"the rows have no column {missing[0]!r}",
                remedy=f"stream {spec.name!r} needs it to train a model",
            )
        usable = frame[target].notna().to_numpy(np.bool_)
        if flagged is not None:
            usable = usable & ~flagged
        kept = frame.loc[usable] if not usable.all() else frame
        time = micros(kept[spec.time.field])
        _check_enough(time, settings)
        order = np.argsort(time, kind="stable")
        series = kept[spec.series_key[0]].to_numpy(object).astype(object)
        for name in spec.series_key[1:]:
            series = series + "/" + kept[name].to_numpy(object)
        everything = Rows(
            time,
            features.of_frame(kept, spec.time.field),
            kept[target].to_numpy(np.float64),
            series,
        ).take(order)
        # At an instant, so that one reading of the fleet is not torn apart.
        first_held = split_at
        if first_held is None:
            first_held = int(everything.time[int(len(kept) * (1 - settings.holdout))])
        held = everything.time >= first_held
        train, holdout = np.flatnonzero(~held), np.flatnonzero(held)
        if not len(train) or not len(holdout):
            raise TooFewRows(
                "the rows cannot be split into older and newer ones",
                remedy="give rows of several hours",
            )
        return cls(
            features=features,
            train=everything.take(_thin(train, settings.max_train_rows, settings.seed)),
            holdout=everything.take(
                _thin(holdout, settings.max_holdout_rows, settings.seed)
            ),
            rows=len(kept),
            flagged_share=None if flagged is None else float(flagged.mean()),
            data_hash=_hash(everything),
            offsets=offset_ranges(kept),
        )


def _check_enough(time: NDArray[np.int64], settings: PowerSettings) -> None:
    hours = (int(time.max()) - int(time.min())) / 3.6e9 if len(time) else 0.0
    if len(time) < settings.min_rows:
        raise TooFewRows(
            f"{len(time):,} usable rows are too few to train on, "
            f"{settings.min_rows:,} are needed",
            remedy="give a longer --since, or run 'rtmlops generate --backfill 7d'",
        )
    if hours < settings.min_hours:
        raise TooFewRows(
            f"the rows span {hours:.1f} h, {settings.min_hours:g} h are needed",
            remedy="give a longer --since, or run 'rtmlops generate --backfill 7d'",
        )


def _thin(rows: NDArray[np.int64], at_most: int, seed: int) -> NDArray[np.int64]:
    # By chance within one side of the split: every k-th row could be one server's.
    if len(rows) <= at_most:
        return rows
    chosen = np.random.default_rng(seed).choice(rows, at_most, replace=False)
    return np.sort(chosen)


def _hash(rows: Rows) -> str:
    digest = hashlib.sha256()
    for column in (rows.time, rows.x, rows.y):
        digest.update(np.ascontiguousarray(column).tobytes())
    digest.update("\n".join(rows.series.tolist()).encode())
    return digest.hexdigest()


def offset_ranges(frame: pd.DataFrame) -> str:
    """Return the range of Kafka offsets by partition; "" where rows carry none."""
    if not {"kafka_partition", "kafka_offset"} <= set(frame.columns):
        return ""
    found = frame.loc[frame["kafka_offset"] >= 0]
    ranges = found.groupby("kafka_partition")["kafka_offset"].agg(["min", "max"])
    return " ".join(f"{p}:{r['min']}-{r['max']}" for p, r in ranges.iterrows())


def iso_instant(time_us: int | np.int64) -> str:
    """Return microseconds since 1970 as ISO 8601."""
    moment = datetime.fromtimestamp(int(time_us) / 1e6, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
