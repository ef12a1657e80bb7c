"""A move that is waited for in vain: wholly, or not at all, and the answer is true."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.services.api import serving
from rtmlops_lib.services.api.problems import TooLate
from rtmlops_lib.services.api.undertaking import GivenUp, Undertaking
from rtmlops_lib.services.api.workers import Workers

PATIENCE = 60.0
# Time enough for a thread to begin, on a machine with more to do.
SOON = 2.0


class Move:
    """Prepares until it is told to begin, and moves until it is told to end."""

    def __init__(self) -> None:
        self.begin, self.begun = threading.Event(), threading.Event()
        self.end, self.over = threading.Event(), threading.Event()
        self.moved = False

    def __call__(self, one: Undertaking) -> str:
        try:
            assert self.begin.wait(PATIENCE)
            one.begin()
            self.begun.set()
            assert self.end.wait(PATIENCE)
            self.moved = True
            return "moved"
        finally:
            self.over.set()


def undertake(move: object, seconds: float) -> str:
    workers = Workers("the gate", at_once=1, seconds=PATIENCE)
    return asyncio.run(serving._undertake(workers, move, seconds, remedy="wait"))  # type: ignore[arg-type]


def test_what_has_not_begun_in_time_never_does() -> None:
    move = Move()
    with pytest.raises(TooLate, match="nothing was moved, and nothing will be; wait"):
        undertake(move, 0.05)
    move.begin.set()
    move.end.set()
    assert move.over.wait(PATIENCE)
    assert not move.moved


def test_what_has_begun_is_waited_for() -> None:
    move = Move()
    move.begin.set()

    def finish() -> None:
        assert move.begun.wait(PATIENCE)
        # After the limit: it has begun before.
        threading.Timer(SOON + 0.5, move.end.set).start()

    threading.Thread(target=finish, daemon=True).start()
    assert undertake(move, SOON) == "moved"


def test_what_has_begun_and_does_not_end_is_not_called_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "MOVE_SECONDS", 0.1)
    move = Move()
    move.begin.set()
    with pytest.raises(TooLate, match="wholly, by the next move at the latest, or not"):
        undertake(move, SOON)
    assert move.begun.is_set()
    move.end.set()


def test_who_finds_no_place_in_time_moves_nothing() -> None:
    first, second = Move(), Move()

    async def trial() -> None:
        workers = Workers("the gate", at_once=1, seconds=PATIENCE)
        ahead = asyncio.create_task(serving._undertake(workers, first, PATIENCE))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second.begin.set()
        second.end.set()
        with pytest.raises(TooLate, match="nothing was moved"):
            await serving._undertake(workers, second, 0.05)
        first.begin.set()
        first.end.set()
        assert await ahead == "moved"

    asyncio.run(trial())
    assert not second.over.is_set()


def test_what_it_raises_in_time_is_raised() -> None:
    def fails(one: Undertaking) -> str:
        raise UsageError("no such version")

    with pytest.raises(UsageError, match="no such version"):
        undertake(fails, PATIENCE)


def test_a_step_after_the_end_is_the_last() -> None:
    one = Undertaking()
    one.check("reading")
    assert one.give_up()
    with pytest.raises(GivenUp):
        one.check("fitting")
