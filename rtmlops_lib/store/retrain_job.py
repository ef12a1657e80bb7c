"""One training that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

__all__ = ["JobState", "RetrainJob"]

JobState = Literal["queued", "running", "succeeded", "refused", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class RetrainJob:
    """A row of ``retrain_jobs``.

    Parameters
    ----------
    id : str
        A UUID.
    model_name, stream : str
    kind : str
        ``power`` or ``anomaly``.
    state : str
        ``refused`` means that the training went well and the gate said no; ``failed``
        that there is no new version to speak of.
    trigger : str
        ``manual``, ``schedule``, ``error_alert``, ``grafana``.
    reason : str
        In words, for people.
    options : mapping
        What the trainer shall heed: ``{"change_point": "2026-11-23T12:00:00Z"}``.
    attempts : int
        How often a worker began it.
    step : str
        What the worker does just now.
    version : int, optional
        The version it registered.
    outcome : str
        In words: the gate's summary, or what went wrong.
    """

    id: str
    model_name: str
    stream: str
    kind: str
    state: JobState
    trigger: str
    reason: str
    requested_by: str
    options: Mapping[str, Any]
    requested_at: datetime
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str | None = None
    attempts: int = 0
    step: str = ""
    version: int | None = None
    outcome: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether it is still to end."""
        return self.state in ("queued", "running")

    @property
    def cancellable(self) -> bool:
        """Whether nothing came of it yet that would have to be undone."""
        return self.state == "queued" or (self.open and self.version is None)

    @property
    def vanished(self) -> int:
        """How many workers began it and were not heard of again."""
        handed_back = int(self.detail.get("handed_back", 0))
        return self.attempts - handed_back - (1 if self.state == "running" else 0)
