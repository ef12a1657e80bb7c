"""Aliases move in one order, under one lock, and survive a kill in between."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from rtmlops_lib.errors import CheckFailed, UsageError
from rtmlops_lib.models.aliases import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Move,
    complete_moves,
    move_aliases,
)
from rtmlops_lib.models.registry import ModelRegistry

pytestmark = pytest.mark.live


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


class DyingRegistry(ModelRegistry):
    """Dies at the n-th move of an alias, before or after MLflow has done it."""

    def __init__(self, uri: str, at: int, *, after: bool) -> None:
        super().__init__(uri)
        self.left, self.after = at, after

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        super().set_alias(name, alias, version)
        if self.left == 0:
            raise Killed


@pytest.fixture
def versions(registry: ModelRegistry, name: str, tmp_path: Any) -> list[int]:
    """Four versions without a model: aliases do not care."""
    (tmp_path / "nothing").write_text("")
    for _ in range(4):
        registry.register(name, tmp_path, hashes={}, params={}, metrics={}, tags={})
    return [1, 2, 3, 4]


def test_promotion_keeps_the_former_champion(
    registry: Any, store: Any, name: str, versions: Any
) -> None:
    move_aliases(registry, store, name, Move.promote(1))
    move_aliases(registry, store, name, Move.shadow(2))
    events = move_aliases(registry, store, name, Move.promote(2, reason="better"))
    assert registry.aliases(name) == {PREVIOUS: 1, CHAMPION: 2}
    assert [(e.alias, e.from_version, e.to_version) for e in events] == [
        (PREVIOUS, None, 1),
        (CHAMPION, 1, 2),
        (CHALLENGER, 2, None),
    ]


def test_the_same_promotion_again_does_nothing(
    registry: Any, store: Any, name: str, versions: Any
) -> None:
    move_aliases(registry, store, name, Move.promote(1))
    move_aliases(registry, store, name, Move.promote(2))
    assert move_aliases(registry, store, name, Move.promote(2)) == []
    assert registry.aliases(name) == {PREVIOUS: 1, CHAMPION: 2}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_killed_promotion_is_completed_by_the_next_call(
    mlflow: Any,
    registry: Any,
    store: Any,
    name: str,
    versions: Any,
    at: int,
    after: bool,
) -> None:
    move_aliases(registry, store, name, Move.promote(1))
    move_aliases(registry, store, name, Move.shadow(2))
    dying = DyingRegistry(mlflow.uri, at, after=after)
    with pytest.raises(Killed):
        move_aliases(dying, store, name, Move.promote(2))
    assert registry.aliases(name)[CHAMPION] in (1, 2)
    move_aliases(registry, store, name, Move.promote(2))
    assert registry.aliases(name) == {PREVIOUS: 1, CHAMPION: 2}
    assert store.model_events(name)["done_at"].notna().all()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_killed_rollback_is_one_rollback(
    mlflow: Any,
    registry: Any,
    store: Any,
    name: str,
    versions: Any,
    at: int,
    after: bool,
) -> None:
    for version in (1, 2, 3):
        move_aliases(registry, store, name, Move.promote(version))
    dying = DyingRegistry(mlflow.uri, at, after=after)
    with pytest.raises(Killed):
        move_aliases(dying, store, name, Move.rollback(reason="bad"))
    move_aliases(registry, store, name, Move.rollback(reason="bad"))
    assert registry.aliases(name) == {CHAMPION: 2}
    assert registry.version(name, 3).rolled_back == "bad"
    assert registry.version(name, 2).rolled_back is None


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_what_a_kill_interrupted_is_completed_without_asking_for_it_again(
    mlflow: Any,
    registry: Any,
    store: Any,
    name: str,
    versions: Any,
    at: int,
    after: bool,
) -> None:
    for version in (1, 2):
        move_aliases(registry, store, name, Move.promote(version))
    assert complete_moves(registry, store, name) == []
    dying = DyingRegistry(mlflow.uri, at, after=after)
    with pytest.raises(Killed):
        move_aliases(dying, store, name, Move.rollback(reason="bad"))
    done = complete_moves(registry, store, name)
    assert [event.action for event in done] == ["rollback"] * (3 - at)
    assert registry.aliases(name) == {CHAMPION: 1}
    assert registry.version(name, 2).rolled_back == "bad"
    assert complete_moves(registry, store, name) == []


def test_a_rolled_back_version_never_comes_back(
    registry: Any, store: Any, name: str, versions: Any
) -> None:
    for version in (1, 2):
        move_aliases(registry, store, name, Move.promote(version))
    move_aliases(registry, store, name, Move.rollback(reason="errors doubled"))
    with pytest.raises(CheckFailed, match="errors doubled"):
        move_aliases(registry, store, name, Move.promote(2, forced=True))
    assert registry.aliases(name) == {CHAMPION: 1}


def test_without_a_previous_version_there_is_no_rollback(
    registry: Any, store: Any, name: str, versions: Any
) -> None:
    move_aliases(registry, store, name, Move.promote(1))
    with pytest.raises(UsageError, match="no previous version"):
        move_aliases(registry, store, name, Move.rollback(reason="bad"))


def test_a_verdict_against_a_former_champion_is_void(
    registry: Any, store: Any, name: str, versions: Any
) -> None:
    move_aliases(registry, store, name, Move.promote(1))
    move_aliases(registry, store, name, Move.promote(2))
    with pytest.raises(CheckFailed, match="compared with v1"):
        move_aliases(registry, store, name, Move.promote(3), expected_champion=1)


def test_movers_at_once_take_turns(
    mlflow: Any, store: Any, database_url: str, name: str, versions: Any
) -> None:
    from rtmlops_lib.store.postgres import PostgresStore

    def promote(version: int) -> None:
        own = PostgresStore(database_url)
        move_aliases(ModelRegistry(mlflow.uri), own, name, Move.promote(version))
        own.close()

    threads = [threading.Thread(target=promote, args=(v,)) for v in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = store.model_events(name).sort_values("id")
    champions = events[events["alias"] == CHAMPION]
    # Each began where the one before had ended.
    assert (
        champions["from_version"].tolist()[1:] == champions["to_version"].tolist()[:-1]
    )
    assert len(champions) == 4
