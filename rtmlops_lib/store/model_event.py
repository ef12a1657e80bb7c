"""One step in the life of a model, as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ModelEvent"]


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """The move of one alias, or another decision about a version.

    Parameters
    ----------
    model_name : str
    action : str
        ``promote``, ``rollback``, ``shadow``, ``refuse``.
    alias : str, optional
        The alias that moves; None where none does.
    from_version, to_version : int, optional
        Where it stood and where it goes; None means nowhere.
    forced : bool
        Whether the gate was overruled.
    reason : str
        Given by whoever asked for it.
    detail : mapping
        The gate's report.
    id : int, optional
        Set by the store.
    """

    model_name: str
    action: str
    alias: str | None = None
    from_version: int | None = None
    to_version: int | None = None
    forced: bool = False
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None
