"""What a detector says of events, as rows of the store."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtmlops_lib.models.detect.detector import Detection
from rtmlops_lib.models.detect.episode import Episode
from rtmlops_lib.models.detect.witness_models import WitnessModels
from rtmlops_lib.store import AnomalyEvent
from rtmlops_lib.streams import ColumnBatch, StreamSpec, anomaly_column

__all__ = ["anomaly_event", "anomaly_rows", "versions_text"]


def anomaly_rows(
    events: ColumnBatch,
    table: StreamSpec,
    detector: str,
    detection: Detection,
    versions: str | None,
) -> ColumnBatch:
    """Return one row an event.

    Parameters
    ----------
    events : ColumnBatch
        n events.
    table : StreamSpec
        See ``anomaly_spec``.
    detector : str
    detection : Detection
        Of these events.
    versions : str, optional
        See ``versions_text``.
    """
    scores, spec = detection.scores, events.spec

    def same(value: str | None) -> Any:
        return np.full(len(events), value, object)

    said = {
        "stream": same(spec.name),
        "detector": same(detector),
        "model_version": same(versions),
        "score": scores.score,
        "severity": scores.severity,
        "metric": scores.metric_names,
        "flagged": scores.flagged,
        "witnesses": same(", ".join(scores.witnesses)),
    }
    return ColumnBatch(
        spec=table,
        time=events.time,
        columns={
            **{name: events.columns[name] for name in spec.identity_fields},
            **{anomaly_column(spec, name): column for name, column in said.items()},
        },
        partition=events.partition,
        offset=events.offset,
    )


def anomaly_event(episode: Episode, spec: StreamSpec, detector: str) -> AnomalyEvent:
    """Return an episode as the store keeps it."""
    name = episode.series
    values = name if isinstance(name, tuple) else (name,)
    return AnomalyEvent(
        stream=spec.name,
        series=dict(zip(spec.series_key, values, strict=True)),
        detector=detector,
        started_at=episode.started_at,
        ended_at=episode.ended_at,
        peak_at=episode.peak_at,
        confirmed_at=episode.confirmed_at,
        peak_score=episode.peak_score,
        severity=episode.severity,
        metric=episode.metric,
        explanation=episode.explanation,
        state=episode.state,
        flagged_rows=episode.rows,
    )


def versions_text(models: WitnessModels) -> str | None:
    """Return the versions of the models that take part, None where none does.

    Examples
    --------
    >>> versions_text(WitnessModels()) is None
    True
    """
    served = {"power": models.power, "forest": models.forest}
    texts = [f"{n} {one.version.version}" for n, one in served.items() if one]
    return ", ".join(texts) or None
