"""The hint: what was met before, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest

from rtmlops_lib.store.postgres import recent as module
from rtmlops_lib.store.postgres.recent import RecentIdentities
from rtmlops_lib.streams import ColumnBatch, builtin_specs

SPEC = builtin_specs()["datacenter"]
SERVERS = np.array([f"server-{i:03}" for i in range(50)], object)


def events(numbers: np.ndarray, spec=SPEC) -> ColumnBatch:
    """Return events of 50 servers, one a second each."""
    empty = ColumnBatch.empty(spec)
    columns = dict(empty.columns, server_id=SERVERS[numbers % 50])
    time = numbers // 50 * 1_000_000
    place = np.zeros(len(numbers), np.int64)
    return ColumnBatch(spec, time, columns, place.astype(np.int32), place)


def test_a_repeat_is_met_again_within_a_batch_and_after_it():
    recent = RecentIdentities()
    assert recent.meet(events(np.array([1, 2, 1, 3]))).tolist() == [0, 0, 1, 0]
    assert recent.meet(events(np.array([4, 3, 5, 4]))).tolist() == [0, 1, 0, 1]


def test_another_table_is_another_identity():
    recent = RecentIdentities()
    recent.meet(events(np.arange(100)))
    other = SPEC.evolve(name="other", table="other")
    assert not recent.meet(events(np.arange(100), other)).any()


def test_two_million_are_remembered_and_few_strangers_taken_for_them():
    recent = RecentIdentities()
    strangers = 0
    for start in range(0, 2_000_000, 5_000):
        strangers += recent.meet(events(np.arange(start, start + 5_000))).sum()
    assert strangers <= 0.004 * 2_000_000
    again = np.random.default_rng(1).integers(0, 2_000_000, 5_000)
    assert recent.meet(events(again)).all()


def test_old_ones_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CAPACITY", 10_000)
    recent = RecentIdentities()
    for start in range(0, 40_000, 5_000):
        recent.meet(events(np.arange(start, start + 5_000)))
    assert recent.meet(events(np.arange(30_000, 35_000))).all()
    assert recent.meet(events(np.arange(0, 5_000))).mean() < 0.01
