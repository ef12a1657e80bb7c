"""One thing that people should know of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Alert", "Severity"]

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as whoever raises it says it.

    Parameters
    ----------
    key : str
        The same for the same trouble: while it is open it is one row.
    kind : str
        What is the matter, in one word: ``error_growth``.
    severity : {"info", "warning", "critical"}
    message : str
        A sentence for people.
    stream : str, optional
    detail : mapping
        Plain data: what the verdict rests on.
    """

    key: str
    kind: str
    severity: Severity
    message: str
    stream: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
