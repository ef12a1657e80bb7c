"""The one way in which a model's aliases move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtmlops_lib.errors import CheckFailed, UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.postgres import PostgresStore

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "PROBATION",
    "WATCHING",
    "Move",
    "complete_moves",
    "move_aliases",
]

log = get_logger(__name__)

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
# A version's tag, and its value while the champion is held against its predecessor,
# which scores in shadow so long.
PROBATION, WATCHING = "probation", "watching"
# A kill in between leaves at worst a version with two aliases, never a champion that
# cannot be undone.
ORDER = (PREVIOUS, CHAMPION, CHALLENGER)


@dataclass(frozen=True, slots=True)
class Move:
    """Where aliases shall stand afterwards; those not named stay.

    Examples
    --------
    >>> Move.promote(4)({"champion": 3, "challenger": 4}).target
    {'previous': 3, 'champion': 4, 'challenger': None}
    >>> Move.promote(3)({"champion": 3}).target
    {'champion': 3}
    """

    action: str
    target: Mapping[str, int | None]
    reason: str = ""
    forced: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def promote(
        cls,
        version: int,
        *,
        reason: str = "",
        forced: bool = False,
        detail: Mapping[str, Any] | None = None,
    ) -> Callable[[Mapping[str, int]], Move]:
        """Make a version champion, and the champion the previous one."""

        def decide(now: Mapping[str, int]) -> Move:
            target: dict[str, int | None] = {CHAMPION: version}
            champion = now.get(CHAMPION)
            if champion is not None and champion != version:
                target = {PREVIOUS: champion, CHAMPION: version}
            # An older challenger was to beat a champion that serves no more.
            if (now.get(CHALLENGER) or version + 1) <= version:
                target[CHALLENGER] = None
            return cls("promote", target, reason, forced, detail or {})

        return decide

    @classmethod
    def shadow(
        cls, version: int | None, *, reason: str = ""
    ) -> Callable[[Mapping[str, int]], Move]:
        """Make a version challenger: it scores beside the champion. None: nobody."""

        def decide(now: Mapping[str, int]) -> Move:
            if version is not None and now.get(CHAMPION) == version:
                raise UsageError(f"version {version} is the champion already")
            return cls("shadow", {CHALLENGER: version}, reason)

        return decide

    @classmethod
    def refuse(
        cls, version: int, *, reason: str, detail: Mapping[str, Any]
    ) -> Callable[[Mapping[str, int]], Move]:
        """Make a version that the gate refused challenger: it scores in shadow."""

        def decide(now: Mapping[str, int]) -> Move:
            serves = now.get(CHAMPION) == version
            target = {} if serves else {CHALLENGER: version}
            return cls("refuse", target, reason, detail=detail)

        return decide

    @classmethod
    def rollback(cls, *, reason: str) -> Callable[[Mapping[str, int]], Move]:
        """Make the previous version champion again; the champion is done with."""
        return _Rollback(reason)


@dataclass(frozen=True, slots=True)
class _Rollback:
    """Decides for a rollback, and can be told from other decisions."""

    reason: str

    def __call__(self, now: Mapping[str, int]) -> Move:
        previous = now.get(PREVIOUS)
        if previous is None or previous == now.get(CHAMPION):
            raise UsageError(
                "there is no previous version to go back to",
                remedy="promote one: 'rtmlops models list' shows them",
            )
        target = {PREVIOUS: None, CHAMPION: previous}
        return Move("rollback", target, self.reason)


def move_aliases(
    registry: ModelRegistry,
    store: PostgresStore,
    name: str,
    decide: Callable[[Mapping[str, int]], Move],
    *,
    expected_champion: int | None = -1,
) -> list[ModelEvent]:
    """Move aliases under the model's lock in the database; return what was done.

    The plan is written down first, each alias moved after, in the order previous,
    champion, challenger. What a kill interrupts, the next call completes before it
    does anything of its own; asked for the same rollback again, it does no second.

    Parameters
    ----------
    decide : callable
        Told where the aliases stand, once nobody else can move them.
    expected_champion : int or None
        Whom the gate compared with (None: nobody; -1: no matter). Another one by now
        means that the verdict is void.

    Raises
    ------
    CheckFailed
        When the champion changed meanwhile, or a version was rolled back before.
    """
    with store.model_lock(name) as ledger:
        finished = _carry_out(registry, ledger, name)
        now = registry.aliases(name)
        champion = now.get(CHAMPION)
        if expected_champion not in (-1, champion):
            raise CheckFailed(
                f"the champion of {name} is now v{champion}, the gate compared with "
                f"v{expected_champion}",
                remedy="run the gate again",
            )
        undone = any(event.action == "rollback" for event in finished)
        if undone and isinstance(decide, _Rollback):
            return finished
        move = decide(now)
        for alias, version in move.target.items():
            if version is None or (alias == PREVIOUS):
                continue
            rolled_back = registry.version(name, version).rolled_back
            if rolled_back is not None:
                raise CheckFailed(
                    f"{name} v{version} was rolled back ({rolled_back}) and is never "
                    "promoted again",
                    remedy="train a new version",
                )
        ledger.plan(
            [
                ModelEvent(
                    model_name=name,
                    action=move.action,
                    alias=alias,
                    from_version=now.get(alias),
                    to_version=move.target[alias],
                    forced=move.forced,
                    reason=move.reason,
                    detail=move.detail,
                )
                for alias in ORDER
                if alias in move.target and now.get(alias) != move.target[alias]
            ]
        )
        return finished + _carry_out(registry, ledger, name)


def complete_moves(
    registry: ModelRegistry, store: PostgresStore, name: str
) -> list[ModelEvent]:
    """Complete what a kill interrupted; return what was done, mostly nothing.

    To be called before anything is concluded from where the aliases stand: between
    two of them they stand where nobody wanted them to. A move that another process is
    at is waited for. Costs one question where nothing is pending.

    Raises
    ------
    StoreUnavailable, RegistryUnavailable
        The rest is done by the next call.
    """
    # Nothing is planned before what was planned earlier is done: the newest rows tell.
    if not store.model_events(name, limit=2 * len(ORDER))["done_at"].isna().any():
        return []
    with store.model_lock(name) as ledger:
        return _carry_out(registry, ledger, name)


def _carry_out(registry: ModelRegistry, ledger: Any, name: str) -> list[ModelEvent]:
    events: Sequence[ModelEvent] = ledger.pending()
    for event in events:
        undone = event.action == "rollback" and event.alias == CHAMPION
        if undone and event.from_version is not None:
            # Before the alias: a version that was replaced must not come back.
            registry.set_tag(
                name, event.from_version, "rolled_back", event.reason or "yes"
            )
        if event.alias is not None:
            registry.set_alias(name, event.alias, event.to_version)
        ledger.done(event)
        log.info(
            "alias_moved",
            model=name,
            action=event.action,
            alias=event.alias,
            from_version=event.from_version,
            to_version=event.to_version,
            forced=event.forced,
        )
    return list(events)
