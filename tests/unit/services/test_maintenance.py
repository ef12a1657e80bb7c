"""Maintenance goes on by itself, and survives a store that is away."""

from __future__ import annotations

import threading
import time

from rtmlops_lib.services.maintenance import Maintenance
from rtmlops_lib.store import StoreUnavailable
from rtmlops_lib.streams import builtin_specs
from tests.support.memory_store import MemoryDatabase, MemoryStore
from tests.unit.services.conftest import eventually


class Counting(MemoryStore):
    rounds = 0
    closed = False

    def maintain(self, specs):
        self.rounds += 1
        if self.rounds in (2, 3):
            raise StoreUnavailable("away for a while")
        return {}

    def close(self):
        self.closed = True


def test_runs_every_interval_and_outlives_faults() -> None:
    store = Counting(MemoryDatabase())
    specs = list(builtin_specs().values())
    maintenance = Maintenance(store, specs, interval_seconds=0.01)
    maintenance.start()
    eventually(lambda: store.rounds >= 5)
    maintenance.close()
    assert store.closed


class Endless(Counting):
    """A round that holds the connection until it is let go."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase())
        self.connection = threading.Lock()
        self.let_go = threading.Event()

    def maintain(self, specs):
        with self.connection:
            self.rounds += 1
            self.let_go.wait(20)
        return {}

    def close(self):
        with self.connection:
            self.closed = True


def test_a_round_under_way_does_not_hold_up_the_end() -> None:
    store = Endless()
    maintenance = Maintenance(store, [], interval_seconds=0.01)
    maintenance.start()
    eventually(lambda: store.rounds == 1)
    started = time.monotonic()
    maintenance.close()
    assert time.monotonic() - started < 5
    store.let_go.set()
    eventually(lambda: store.closed)
