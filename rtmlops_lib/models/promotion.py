"""Promotion and rollback by hand: what the command line and the API do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.aliases import Move, move_aliases
from rtmlops_lib.models.forest_pipeline import promote_forest
from rtmlops_lib.models.gate import GateReport
from rtmlops_lib.models.known_model import KnownModel
from rtmlops_lib.models.pipeline import promote_power
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.postgres import PostgresStore

__all__ = ["Role", "promote_version", "roll_back"]

Role = Literal["champion", "challenger"]


def promote_version(
    registry: ModelRegistry,
    store: PostgresStore,
    model: KnownModel,
    version: int,
    *,
    to: Role = "champion",
    force: bool = False,
    reason: str = "",
    on_step: Callable[[str], None] = lambda text: None,
    before_move: Callable[[], None] = lambda: None,
) -> tuple[GateReport | None, list[ModelEvent]]:
    """Run the gate on stored rows; if it passes, make a version champion.

    Parameters
    ----------
    to : {"champion", "challenger"}
        A challenger scores in shadow; the gate is not asked.
    force : bool
        Overrule the gate; recorded with ``reason``, which must not be empty then.
    on_step : callable
        Told what begins now; what it raises leaves everything as it is.
    before_move : callable
        Called once the verdict stands, before anything is changed; what it raises
        leaves everything as it is.

    Returns
    -------
    gate : GateReport or None
        None where it was not asked.
    events : list of ModelEvent

    Raises
    ------
    UsageError
        No such version; ``force`` without a reason; too few rows to judge.
    CheckFailed
        The version was rolled back once, or the champion changed meanwhile.
    """
    if force and not reason.strip():
        raise UsageError(
            "to overrule the gate needs a reason", remedy="say why it is overruled"
        )
    registry.version(model.name, version)  # exists, or says so
    if to == "challenger" or force:
        before_move()
    if to == "challenger":
        decide = Move.shadow(version, reason=reason)
        return None, move_aliases(registry, store, model.name, decide)
    if force:
        decide = Move.promote(version, reason=reason, forced=True)
        return None, move_aliases(registry, store, model.name, decide)
    run_gate = promote_power if model.kind == "power" else promote_forest
    return run_gate(
        registry,
        store,
        model.name,
        model.spec,
        version,
        on_step=on_step,
        before_move=before_move,
    )


def roll_back(
    registry: ModelRegistry, store: PostgresStore, name: str, *, reason: str
) -> list[ModelEvent]:
    """Make the previous version champion again; the present one never comes back."""
    return move_aliases(registry, store, name, Move.rollback(reason=reason))
