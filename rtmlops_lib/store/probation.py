"""A new champion under watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

__all__ = ["Probation", "ProbationState"]

ProbationState = Literal["watching", "passed", "rolled_back", "superseded"]


@dataclass(frozen=True, slots=True)
class Probation:
    """A row of ``probations``.

    Parameters
    ----------
    id : int
    model_name : str
    version, former_version : int
        The new champion, and the one it replaced.
    started_at, ends_at : datetime
        In event time: so long both are compared.
    state : str
        ``superseded`` when another version became champion meanwhile.
    decided_at : datetime, optional
        By the clock.
    detail : mapping
        What was compared.
    """

    id: int
    model_name: str
    version: int
    former_version: int
    started_at: datetime
    ends_at: datetime
    state: ProbationState
    decided_at: datetime | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
