"""What becomes of a version after the gate."""

from __future__ import annotations

from collections.abc import Iterable

from rtmlops_lib.models.aliases import CHAMPION, Move, move_aliases
from rtmlops_lib.models.gate import GateReport
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.postgres import PostgresStore

__all__ = ["decide", "is_promoted"]


def decide(
    registry: ModelRegistry,
    store: PostgresStore,
    version: ModelVersion,
    gate: GateReport,
    champion_version: int | None,
    *,
    promote: bool,
) -> list[ModelEvent]:
    """Move the aliases as the gate's verdict says; without ``promote``, to challenger.

    A refusal is recorded as well.
    """
    if promote and gate.passed:
        return move_aliases(
            registry,
            store,
            version.name,
            Move.promote(version.version, reason=gate.summary, detail=gate.to_dict()),
            expected_champion=champion_version,
        )
    if not promote:
        return move_aliases(
            registry,
            store,
            version.name,
            Move.shadow(version.version, reason=gate.summary),
        )
    refusal = ModelEvent(
        model_name=version.name,
        action="refuse",
        to_version=version.version,
        reason=gate.summary,
        detail=gate.to_dict(),
    )
    with store.model_lock(version.name) as ledger:
        ledger.plan([refusal], done=True)
    return [refusal]


def is_promoted(version: ModelVersion, events: Iterable[ModelEvent]) -> bool:
    """Return whether these events made a version champion."""
    return any(e.alias == CHAMPION and e.to_version == version.version for e in events)
