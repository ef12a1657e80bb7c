"""Anybody's rows in the order of time: numbers, categories, series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring._times import read_times, time_like

__all__ = ["Table"]

Rows = NDArray[Any]

# So many cells, and so many different ones, must be numbers for a column of texts to
# be one of numbers.
_MOSTLY, _FEW_LABELS = 0.95, 50


@dataclass(frozen=True, slots=True)
class Table:
    """A frame that was understood.

    Parameters
    ----------
    time : ndarray of int64, shape (n,)
        Ascending: microseconds since 1970 where there is a clock, else row numbers.
    clock : bool
    series : ndarray of object, shape (n,)
        Name of each row's series; "" where there is but one.
    columns : dict of str to ndarray, shape (n,)
        float64 with NaN for numbers; objects, ``str`` or None, for categories.
    notes : tuple of str
        What the reader of a verdict should know.
    """

    time: NDArray[np.int64]
    clock: bool
    series: NDArray[np.object_]
    columns: dict[str, Rows]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def of_frame(
        cls,
        frame: pd.DataFrame,
        *,
        time_column: str | None = None,
        series_column: str | Sequence[str] | None = None,
        features: Sequence[str] | None = None,
    ) -> Table:
        """Read a frame; without a clock the order of its rows is the order of time.

        Parameters
        ----------
        time_column : str, optional
            By default the only column of times, or one with a usual name.
        series_column : str or sequence of str, optional
            What tells series apart.
        features : sequence of str, optional
            Columns to read; those that are not there are read as missing. By default
            all but time and series.

        Raises
        ------
        UsageError
            For an empty frame, a column that is not there or stands twice, times
            that cannot be read.
        """
        if len(frame) == 0:
            raise UsageError("there are no rows", remedy="give a file with rows")
        frame = frame.set_axis([_name(column) for column in frame.columns], axis=1)
        twice = frame.columns[frame.columns.duplicated()]
        if len(twice):
            raise UsageError(
                f"the column {twice[0]!r} stands twice", remedy="rename one of them"
            )
        keys = [series_column] if isinstance(series_column, str) else series_column
        keys = list(keys or ())
        for name in (time_column, *keys):
            if name is not None and name not in frame.columns:
                raise UsageError(
                    f"there is no column {name!r}",
                    remedy=f"give one of {', '.join(frame.columns)}",
                )
        notes: list[str] = []
        if time_column is None:
            time_column = _found_time(frame, notes)
        if time_column is None:
            time = np.arange(len(frame), dtype=np.int64)
        else:
            frame = _once(frame, bool(keys), notes)
            time, said = read_times(frame[time_column], time_column)
            notes += said
        order = np.argsort(time, kind="stable")
        series = np.full(len(frame), "", object)
        for number, key in enumerate(keys):
            code, labels = pd.factorize(frame[key])
            # Absent ones, code -1, are a series of their own.
            text = np.array([*map(str, labels), ""], object)[code]
            series = series + "/" + text if number else text
        names = features
        if names is None:
            taken = {time_column, *keys}
            names = [name for name in frame.columns if name not in taken]
        columns = {name: _column(frame, name, notes)[order] for name in names}
        return cls(
            time[order], time_column is not None, series[order], columns, tuple(notes)
        )

    def take(self, rows: Rows) -> Table:
        """Return the rows at these places, or where the mask is true."""
        return replace(
            self,
            time=self.time[rows],
            series=self.series[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
        )

    @property
    def instants(self) -> NDArray[np.int64] | None:
        """Each row's place among the instants of all series; None if each is alone.

        Rows of one series and instant, such as those of a fleet whose series nobody
        named, are evidence of one moment.
        """
        if not self.clock:
            return None
        place = pd.factorize(self.series)[0].astype(np.int64)
        first = np.flatnonzero(np.diff(self.time, prepend=self.time[0] - 1))
        rank = np.searchsorted(first, np.arange(len(self)), side="right")
        found, instant = np.unique(place * (len(first) + 1) + rank, return_inverse=True)
        return None if len(found) == len(self) else instant.astype(np.int64)

    def codes(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return each row's place in ``names``, -1 where its series is not there."""
        found = pd.Index(list(names)).get_indexer(pd.Index(self.series))
        return np.asarray(found, np.int64)

    @property
    def span(self) -> int:
        """Time from the first row to the last, but for stray ones."""
        first, last = np.quantile(self.time, [0.005, 0.995])
        whole = int(self.time[-1] - self.time[0])
        return min(whole, round(float(last - first) / 0.99 * 1.001))

    @property
    def step(self) -> int:
        """Median time between two rows of a series; 1 without a clock."""
        if not self.clock:
            return 1
        place = pd.factorize(self.series)[0]
        order = np.lexsort((self.time, place))
        gaps = np.diff(self.time[order])[np.diff(place[order]) == 0]
        gaps = gaps[gaps > 0]
        return int(np.median(gaps)) if len(gaps) else 1

    def thinned(self, step: int) -> Table:
        """Return the first instant of each series in each ``step``.

        A window must be sampled as the reference was: the same time in finer steps
        would look like more evidence.
        """
        if not self.clock or step <= 1.5 * self.step:
            return self
        key = pd.DataFrame({"series": self.series, "bin": self.time // step})
        key["time"] = self.time
        first = key.groupby(["series", "bin"], sort=False)["time"].transform("min")
        return self.take((key["time"] == first).to_numpy(np.bool_))


def _numbers_but_a_few(column: pd.Series, name: str, notes: list[str]) -> pd.Series:
    """Return numbers where all but a few cells are; else the column as it is.

    One "error" among a hundred thousand readings must not make them texts.
    """
    kinds = {type(value) for value in column.dropna().head(1_000)}
    if kinds & {bool, list, dict}:
        return column
    numeric = pd.to_numeric(column, errors="coerce")
    known, parsed = int(column.notna().sum()), int(numeric.notna().sum())
    if str not in kinds:
        return numeric if parsed else column
    bad = known - parsed
    many = parsed >= _MOSTLY * known and numeric.nunique() > _FEW_LABELS
    # Texts that are numbers all through were made texts by somebody: labels.
    if not bad or not many:
        return column
    notes.append(f"{name}: {bad:,} cells that are no numbers, read as missing")
    return numeric


def _name(column: Any) -> str:
    return "/".join(map(str, column)) if isinstance(column, tuple) else str(column)


def _found_time(frame: pd.DataFrame, notes: list[str]) -> str | None:
    name = time_like(frame)
    if name is not None:
        try:
            read_times(frame[name], name)
        except UsageError:
            pass
        else:
            notes.append(f"time is taken from column {name!r}")
            return str(name)
    notes.append("no time column: row order is taken as time order")
    return None


def _once(frame: pd.DataFrame, named: bool, notes: list[str]) -> pd.DataFrame:
    """Leave out rows that stand twice, where series are told apart.

    Else they may be two events of one second, or two machines that read the same.
    """
    try:
        repeated = np.asarray(frame.duplicated(), np.bool_)
    except TypeError:  # lists and the like have no hash
        return frame
    if not repeated.any():
        return frame
    count = f"{int(repeated.sum()):,}"
    if not named:
        notes.append(f"{count} rows stand twice and are kept: no series are named")
        return frame
    notes.append(f"{count} rows that stood twice left out")
    return frame.loc[~repeated]


def _column(frame: pd.DataFrame, name: str, notes: list[str]) -> Rows:
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    column = frame[name]
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return np.asarray(column.dt.total_seconds(), np.float64)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        # Another time of the row: it goes on, and is no category either.
        stamps = column.dt.tz_localize(None).astype("datetime64[us]").to_numpy()
        micros = stamps.view(np.int64).astype(np.float64)
        return np.where(np.isnat(stamps), np.nan, micros)
    if not column.isna().all() and not pd.api.types.is_numeric_dtype(column.dtype):
        column = _numbers_but_a_few(column, name, notes)
    if pd.api.types.is_bool_dtype(column.dtype) or not (
        pd.api.types.is_numeric_dtype(column.dtype) or column.isna().all()
    ):
        text = np.full(len(column), None, object)
        known = column.notna().to_numpy(np.bool_)
        text[known] = column[known].astype(str).to_numpy(object)
        return text
    values = pd.to_numeric(column, errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    return np.where(np.isfinite(values), np.clip(values, -1e150, 1e150), np.nan)
