"""What a rule finds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Problem"]


@dataclass(frozen=True, order=True)
class Problem:
    """A rule broken at a line of a chapter's source."""

    line: int
    message: str
