"""A reference, and how far its own chunks stray from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring._learn import (
    as_lively,
    ground_of,
    learn_column,
    learn_unseen,
    skip_reason,
)
from rtmlops_lib.monitoring.feature_reference import FeatureReference
from rtmlops_lib.monitoring.settings import DriftSettings
from rtmlops_lib.monitoring.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Calibration"]

_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a stream was like, and thresholds that it does not cross by itself.

    The reference is cut into chunks as long as the windows to come. Each number is
    taken relative to its series' weekly profile, in its standard deviation; each
    chunk is compared with the rest, and the tail of these effects gives the
    threshold. So it holds the autocorrelation, the anomalies and the errors of the
    profile itself, whatever they are.

    Parameters
    ----------
    reference_id : str
        Which reference: the model's version, a file.
    window : int
        Length of a chunk: microseconds, or rows where there is no clock.
    clock : bool
    step : int
        Time between two rows of a series; windows are thinned to it.
    chunk_rows : float
        Median rows of a chunk.
    span : int
        From the first to the last row, but for stray ones.
    rows : int
    chunks : int
        Whole ones.
    cycle : str
        Which profile was taken away.
    series : tuple of str
        Names of those seen.
    series_column : tuple of str
        The columns that tell series apart.
    time_column : str, optional
    features : tuple of FeatureReference
    skipped : dict of str to str
        Columns that are not compared, and why.
    settings : DriftSettings
    notes : tuple of str

    Notes
    -----
    Taught in chapter 09.

    Examples
    --------
    >>> import pandas as pd
    >>> random = np.random.default_rng(1)
    >>> frame = pd.DataFrame({"load": random.normal(size=5_000)})
    >>> calibration = Calibration.of_frame(frame, window=100)
    >>> calibration.chunks, bool(0.1 < calibration.features[0].threshold < 0.6)
    (50, True)
    """

    reference_id: str
    window: int
    clock: bool
    step: int
    chunk_rows: float
    span: int
    rows: int
    chunks: int
    cycle: str
    series: tuple[str, ...]
    series_column: tuple[str, ...]
    time_column: str | None
    features: tuple[FeatureReference, ...]
    skipped: dict[str, str]
    settings: DriftSettings = field(default_factory=DriftSettings)
    notes: tuple[str, ...] = ()

    @classmethod
    def of_frame(
        cls,
        reference: pd.DataFrame,
        *,
        window: timedelta | int,
        features: Sequence[str] | None = None,
        time_column: str | None = None,
        series_column: str | Sequence[str] | None = None,
        step: timedelta | None = None,
        reference_id: str = "reference",
        settings: DriftSettings | None = None,
    ) -> Calibration:
        """Learn from a reference's rows, in any order.

        Parameters
        ----------
        reference : DataFrame
            What the model was trained on, or a sample of whole instants of it.
        window : timedelta or int
            Length of the windows to be judged; in rows where there is no clock.
        features : sequence of str, optional
            Columns to watch. By default all but time and series.
        series_column : str or sequence of str, optional
            What tells series apart; each is compared with itself.
        step : timedelta, optional
            Sampling step of the windows, where it is longer than the reference's.

        Raises
        ------
        UsageError
            As ``Table.of_frame``; without a column to watch; for a window of the
            wrong kind.
        """
        table = Table.of_frame(
            reference,
            time_column=time_column,
            series_column=series_column,
            features=features,
        )
        return cls.of_table(
            table,
            window=window,
            time_column=time_column,
            series_column=series_column,
            step=step,
            reference_id=reference_id,
            settings=settings,
        )

    @classmethod
    def of_table(
        cls,
        table: Table,
        *,
        window: timedelta | int,
        time_column: str | None = None,
        series_column: str | Sequence[str] | None = None,
        step: timedelta | None = None,
        reference_id: str = "reference",
        settings: DriftSettings | None = None,
    ) -> Calibration:
        """As ``of_frame``, of rows that were read already."""
        settings = DriftSettings() if settings is None else settings
        length = _length(window, table.clock)
        if step is not None:
            table = table.thinned(round(step.total_seconds() * _MICROS))
        names, code = np.unique(table.series.astype(str), return_inverse=True)
        ground, chunk_rows = ground_of(table, code, length, settings)
        why = {n: skip_reason(column, ground) for n, column in table.columns.items()}
        skipped = {name: reason for name, reason in why.items() if reason is not None}
        kept = [name for name in table.columns if name not in skipped]
        ground = replace(ground, probability=settings.alpha / max(1, len(kept)))
        learned = [
            learn_column(name, table.columns[name], ground, settings) for name in kept
        ]
        if not learned:
            raise UsageError(
                "the reference has no column to watch"
                + "".join(f"; {name}: {reason}" for name, reason in skipped.items()),
                remedy="give columns of numbers or categories",
            )
        # A constant's rows look independent of each other, however often they repeat.
        tau = min((f.tau for f in learned if f.kind != "share"), default=0.0)
        tau = tau or min(feature.tau for feature in learned)
        learned = [
            as_lively(f, table.columns[f.name], tau, ground) if f.kind == "share" else f
            for f in learned
        ]
        keys = (series_column,) if isinstance(series_column, str) else series_column
        keys = tuple(keys or ())
        if keys:
            unseen = f"{'/'.join(keys)} (unseen)"
            learned.append(learn_unseen(unseen, tau, ground, settings))
        return cls(
            reference_id=reference_id,
            window=length,
            clock=table.clock,
            step=ground.step,
            chunk_rows=chunk_rows,
            span=table.span,
            rows=len(table),
            chunks=ground.chunks,
            cycle=ground.cycle,
            series=tuple(names.tolist()),
            series_column=keys,
            time_column=time_column,
            features=tuple(learned),
            skipped=skipped,
            settings=settings,
            notes=(*table.notes, *_profile_note(table, ground.cycle)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {
            **plain,
            "series": list(self.series),
            "series_column": list(self.series_column),
            "notes": list(self.notes),
            "features": [feature.to_dict() for feature in self.features],
            "settings": self.settings.model_dump(),
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Calibration:
        """Return what ``to_dict`` was made of."""
        given = dict(plain)
        for name in ("series", "series_column", "notes"):
            given[name] = tuple(given[name])
        given["features"] = tuple(map(FeatureReference.from_dict, given["features"]))
        given["settings"] = DriftSettings(**given["settings"])
        return cls(**given)


def _length(window: timedelta | int, clock: bool) -> int:
    if clock != isinstance(window, timedelta):
        raise UsageError(
            f"the reference has {'a' if clock else 'no'} clock, the window is {window}",
            remedy="give a timedelta where there are times, a number of rows else",
        )
    length = (
        round(window.total_seconds() * _MICROS)
        if isinstance(window, timedelta)
        else window
    )
    if length < 1:
        raise UsageError(f"the window {window} is empty", remedy="give a longer one")
    return length


def _profile_note(table: Table, cycle: str) -> list[str]:
    if not table.clock:
        return []
    notes = {
        "none": "the reference is shorter than two days: hours of the day are not "
        "told apart",
        "hour of day": "the reference is shorter than a week: weekends are not told "
        "apart",
    }
    return [notes[cycle]] if cycle in notes else []
