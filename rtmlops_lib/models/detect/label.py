"""What really happened, for evaluation only."""

from __future__ import annotations

from typing import NamedTuple

from rtmlops_lib.streams import ColumnBatch

__all__ = ["Label", "labels_of"]


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
