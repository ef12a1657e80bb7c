"""What really happened, for evaluation only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rtmlops_lib.models.features import micros
from rtmlops_lib.streams import ColumnBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Label", "labels_of", "labels_of_frame"]


class Label(NamedTuple):
    """One known anomaly; times in microseconds, both ends included."""

    server: str
    kind: str
    started_at: int
    ended_at: int
    service: str | None = None


def labels_of(batch: ColumnBatch) -> list[Label]:
    """Return the labels of a batch of the stream ``labels``."""
    columns = batch.columns
    return [
        Label(*row)
        for row in zip(
            columns["server_id"].tolist(),
            columns["anomaly_type"].tolist(),
            batch.time.tolist(),
            columns["ended_at"].tolist(),
            columns["service"].tolist(),
            strict=True,
        )
    ]


def labels_of_frame(frame: pd.DataFrame) -> list[Label]:
    """Return the labels that ``Store.read`` gives back of the stream ``labels``."""
    service = frame["service"].astype(object)
    return [
        Label(*row)
        for row in zip(
            frame["server_id"].tolist(),
            frame["anomaly_type"].tolist(),
            micros(frame["time"]).tolist(),
            micros(frame["ended_at"]).tolist(),
            service.where(service.notna(), None).tolist(),
            strict=True,
        )
    ]
