"""Events as columns: one numpy array a field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.streams.spec import FieldType, StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ColumnBatch", "PartitionOffset", "TopicPartition"]

_DTYPES: dict[FieldType, Any] = {
    FieldType.NUMBER: np.float64,
    FieldType.INTEGER: np.int64,
    FieldType.STRING: object,
    FieldType.BOOLEAN: np.bool_,
    FieldType.TIME: np.int64,
}


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class PartitionOffset(NamedTuple):
    """A place in a partition: the offset of one record."""

    topic: str
    partition: int
    offset: int


@dataclass(slots=True)
class ColumnBatch:
    """Valid events of one stream, a column a field, in the order they were read.

    Parameters
    ----------
    spec : StreamSpec
        What the columns mean.
    time : ndarray of int64, shape (n,)
        Event time in microseconds since 1970-01-01 UTC.
    columns : dict of str to ndarray, each of shape (n,)
        Every field of the spec: float64 for numbers (NaN where absent), int64 for
        integers and times, bool, or object arrays of ``str | None`` for strings.
    nulls : dict of str to ndarray of bool, each of shape (n,)
        True where an integer, boolean or time is absent; only fields with gaps.
    attributes : ndarray of object, shape (n,), optional
        Unknown fields as JSON text, or None; None as a whole where no event had any.
    partition : ndarray of int32, offset : ndarray of int64, shape (n,)
        Where each event stood in Kafka.
    memo : dict
        What a store has made of this very batch; never copied to another.
    """

    spec: StreamSpec
    time: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]
    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    attributes: NDArray[np.object_] | None = None
    nulls: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def empty(cls, spec: StreamSpec) -> ColumnBatch:
        """Return a batch without events."""
        return cls(
            spec=spec,
            time=np.empty(0, np.int64),
            columns={n: np.empty(0, _DTYPES[f.type]) for n, f in spec.fields.items()},
            partition=np.empty(0, np.int32),
            offset=np.empty(0, np.int64),
        )

    def take(self, rows: NDArray[Any]) -> ColumnBatch:
        """Return the events at ``rows`` (indices or a boolean mask)."""
        return replace(
            self,
            time=self.time[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
            partition=self.partition[rows],
            offset=self.offset[rows],
            attributes=None if self.attributes is None else self.attributes[rows],
            nulls={name: mask[rows] for name, mask in self.nulls.items()},
            memo={},
        )

    @classmethod
    def concat(cls, batches: Sequence[ColumnBatch]) -> ColumnBatch:
        """Return one batch of the events of several of the same stream."""
        if not batches:
            raise ValueError("concat needs at least one batch")
        if len(batches) == 1:
            return batches[0]
        spec = batches[0].spec
        attributes = None
        if any(batch.attributes is not None for batch in batches):
            attributes = np.concatenate(
                [
                    np.full(len(b), None, object)
                    if b.attributes is None
                    else b.attributes
                    for b in batches
                ]
            )
        gappy = sorted({name for batch in batches for name in batch.nulls})
        return cls(
            spec=spec,
            time=np.concatenate([b.time for b in batches]),
            columns={
                name: np.concatenate([b.columns[name] for b in batches])
                for name in spec.fields
            },
            partition=np.concatenate([b.partition for b in batches]),
            offset=np.concatenate([b.offset for b in batches]),
            attributes=attributes,
            nulls={
                name: np.concatenate(
                    [b.nulls.get(name, np.zeros(len(b), np.bool_)) for b in batches]
                )
                for name in gappy
            },
        )

    def identities(self) -> list[tuple[Any, ...]]:
        """Return each event's identity: the key strings, then time in microseconds."""
        keys: Iterable[Iterable[Any]] = (
            self.columns[name].tolist() for name in self.spec.identity_fields
        )
        return list(zip(*keys, self.time.tolist(), strict=True))

    def identity_hashes(self) -> NDArray[np.uint64]:
        """Return a hash of each event's identity, good within this process.

        Returns
        -------
        ndarray of uint64, shape (n,)
            Equal identities have equal hashes; others hardly ever.
        """
        mixed = _scramble(self.time.view(np.uint64) ^ _hash(self.spec.table))
        for name in self.spec.identity_fields:
            found = map(hash, self.columns[name].tolist())
            hashes = np.fromiter(found, np.int64, len(self)).view(np.uint64)
            mixed = _scramble(mixed ^ hashes)
        return mixed

    def to_frame(self) -> pd.DataFrame:
        """Return the events as a DataFrame: time (UTC), fields, attributes."""
        import pandas as pd

        data: dict[str, Any] = {self.spec.time.field: _instants(self.time)}
        for name, column in self.columns.items():
            series = pd.Series(column)
            if self.spec.fields[name].type is FieldType.TIME:
                series = pd.Series(_instants(column))
            if name in self.nulls:
                series = series.mask(self.nulls[name])
            data[name] = series
        if self.attributes is not None:
            data["attributes"] = self.attributes
        return pd.DataFrame(data)


def _hash(text: str) -> np.uint64:
    return np.int64(hash(text)).view(np.uint64)


def _scramble(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finalizer of splitmix64: nearby times must differ in every bit.
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _instants(times: NDArray[np.int64]) -> pd.DatetimeIndex:
    import pandas as pd

    # Through datetime64[us]: nanoseconds, the default, end in the year 2262.
    return pd.DatetimeIndex(times.astype("datetime64[us]"), tz="UTC")
