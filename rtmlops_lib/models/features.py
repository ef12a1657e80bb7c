"""From an event's columns to a model's inputs: one function for all uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.streams import ColumnBatch, StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Features"]

_DAY_US = 86_400_000_000
_CYCLES_US = {"day": _DAY_US, "week": 7 * _DAY_US}


@dataclass(frozen=True, slots=True)
class Features:
    """What a model sees of an event, described by the stream's spec.

    Every feature comes from the event's own row. Nothing is remembered between rows,
    so that training and serving cannot differ, and a server never seen before is
    scored as any other. Only the columns named in ``inputs`` are ever touched: the
    target, the keys and what labels an anomaly are out of reach.

    Parameters
    ----------
    inputs : tuple of str
        Numeric fields.
    cycles : tuple of {"day", "week"}
        Where the event's time lies in these, as sine and cosine.
    increasing : tuple of str
        Inputs of which more never predicts less.

    Notes
    -----
    Taught in chapter 05.

    Examples
    --------
    >>> features = Features(inputs=("cpu_usage",), cycles=("day",))
    >>> six = np.array([6 * 3_600_000_000])
    >>> features.matrix(six, {"cpu_usage": np.array([40.0])}).round(3).tolist()
    [[40.0, 1.0, 0.0]]
    """

    inputs: tuple[str, ...]
    cycles: tuple[str, ...] = ()
    increasing: tuple[str, ...] = ()

    @classmethod
    def of_spec(cls, spec: StreamSpec) -> Features:
        """Return what the spec describes: by default all numbers but the target."""
        if spec.target is None:
            raise UsageError(
                f"stream {spec.name!r} has no target to predict",
                remedy="name one in its spec: 'target: <a number field>'",
            )
        if spec.model is not None:
            return cls(spec.model.inputs, spec.model.cycles, spec.model.increasing)
        inputs = tuple(name for name in spec.numeric_fields if name != spec.target)
        return cls(inputs, ("day",))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the matrix, in order."""
        waves = [f"{wave}_{c}" for c in self.cycles for wave in ("sin", "cos")]
        return (*self.inputs, *waves)

    @property
    def monotonic(self) -> list[int]:
        """1 for each column of which more never predicts less, else 0."""
        return [int(name in self.increasing) for name in self.names]

    def matrix(
        self, time: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.float32]:
        """Return the inputs of n events.

        Parameters
        ----------
        time : ndarray of int64, shape (n,)
            Microseconds since 1970-01-01 UTC.
        columns : mapping of str to ndarray, shape (n,)
            At least ``inputs``; NaN where an optional field is absent.

        Returns
        -------
        ndarray of float32, shape (n, len(names))
            In the type and the order that trees read without a copy.
        """
        result = np.empty((len(time), len(self.names)), np.float32)
        at = 0
        for name in self.inputs:
            result[:, at] = columns[name]
            at += 1
        for cycle in self.cycles:
            period = _CYCLES_US[cycle]
            angle = (time % period) * (2 * np.pi / period)
            result[:, at] = np.sin(angle)
            result[:, at + 1] = np.cos(angle)
            at += 2
        return result

    def of_batch(self, batch: ColumnBatch) -> NDArray[np.float32]:
        """Return the inputs of events as a service reads them."""
        columns: dict[str, NDArray[Any]] = {}
        for name in self.inputs:
            column = batch.columns[name]
            if name in batch.nulls:
                column = np.where(batch.nulls[name], np.nan, column)
            columns[name] = column
        return self.matrix(batch.time, columns)

    def of_frame(
        self, frame: pd.DataFrame, time_field: str = "time"
    ) -> NDArray[np.float32]:
        """Return the inputs of events as the store gives them back.

        Raises
        ------
        UsageError
            When an input or the time is missing, by name.
        """
        import pandas as pd

        missing = [n for n in (time_field, *self.inputs) if n not in frame.columns]
        if missing:
            raise UsageError(
                f"the rows have no column {missing[0]!r}",
                remedy=f"the model needs {', '.join((time_field, *self.inputs))}",
            )
        columns = {
            name: pd.to_numeric(frame[name]).to_numpy(np.float64, na_value=np.nan)
            for name in self.inputs
        }
        return self.matrix(micros(frame[time_field]), columns)


def micros(times: pd.Series) -> NDArray[np.int64]:
    """Return instants as microseconds since 1970-01-01 UTC."""
    naive = times.dt.tz_convert("UTC").dt.tz_localize(None)
    result: NDArray[np.int64] = naive.astype("datetime64[us]").to_numpy().view(np.int64)
    return result
