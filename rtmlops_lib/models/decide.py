"""What becomes of a version after the gate."""

from __future__ import annotations

from collections.abc import Iterable

from rtmlops_lib.models.aliases import CHAMPION, Move, move_aliases
from rtmlops_lib.models.gate import GateReport
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.postgres import PostgresStore

__all__ = ["REFUSED", "decide", "is_promoted"]

# The tag of a version that says why the gate refused it.
REFUSED = "refused"


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

    A version that the gate refused becomes challenger, its tag ``refused`` says why;
    one that is too slow does not even that: its shadow would hold up the champion.
    """
    name, number = version.name, version.version
    if promote and gate.passed:
        return move_aliases(
            registry,
            store,
            name,
            Move.promote(number, reason=gate.summary, detail=gate.to_dict()),
            expected_champion=champion_version,
        )
    if not promote:
        return move_aliases(
            registry, store, name, Move.shadow(number, reason=gate.summary)
        )
    # Before the alias: a kill in between leaves a reason without a shadow.
    registry.set_tag(name, number, REFUSED, gate.summary[:5_000])
    refuse = Move.refuse(number, reason=gate.summary, detail=gate.to_dict())
    events = [] if gate.too_slow else move_aliases(registry, store, name, refuse)
    if any(e.action == "refuse" and e.to_version == number for e in events):
        return events
    refusal = ModelEvent(
        model_name=name,
        action="refuse",
        to_version=number,
        reason=gate.summary,
        detail=gate.to_dict(),
    )
    with store.model_lock(name) as ledger:
        ledger.plan([refusal], done=True)
    return [*events, refusal]


def is_promoted(version: ModelVersion, events: Iterable[ModelEvent]) -> bool:
    """Return whether these events made a version champion."""
    return any(e.alias == CHAMPION and e.to_version == version.version for e in events)
