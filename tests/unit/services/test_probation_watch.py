"""A champion on probation: how it begins, and the ends that need no rollback."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.probation import BLOCK_SECONDS
from rtmlops_lib.models.registry import ModelVersion
from rtmlops_lib.services.probation_watch import ProbationWatch
from rtmlops_lib.store import Probation
from rtmlops_lib.streams import builtin_specs

SPEC = builtin_specs()["datacenter"]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
BOTH = {"champion": 2, "previous": 1}


class Registry:
    """Versions and their tags."""

    def __init__(self):
        self.tags = {number: {} for number in range(1, 5)}
        self.now = dict(BOTH)

    def version(self, name, number):
        if number not in self.tags:
            raise UsageError(f"there is no version {number}")
        return ModelVersion(name, number, "", "", dict(self.tags[number]))

    def set_tag(self, name, number, key, value):
        self.tags[number][key] = value

    def aliases(self, name):
        return self.now


class Probations:
    """One model's, oldest first."""

    def __init__(self):
        self.all = []

    def begin(self, model_name, version, former_version, *, started_at, ends_at):
        self.all.append(
            Probation(
                len(self.all) + 1,
                model_name,
                version,
                former_version,
                started_at,
                ends_at,
                "watching",
            )
        )
        return self.all[-1]

    def watching(self, model_name):
        return next((one for one in self.all if one.state == "watching"), None)

    def newest(self, *, model_name=None, limit=50):
        return self.all[::-1][:limit]

    def decide(self, probation, state, detail=None):
        at = self.all.index(probation)
        self.all[at] = replace(
            probation, state=state, decided_at=datetime.now(UTC), detail=detail or {}
        )
        return True


class Store:
    """Predictions of both sides whose errors are ``ours`` and ``theirs``."""

    def __init__(self, *, ours=0.02, theirs=0.02):
        self.probations = Probations()
        self.ours, self.theirs = ours, theirs
        self.until = datetime.max.replace(tzinfo=UTC)
        self.asked = []
        self.moves = [("promote", 2, datetime.now(UTC))]

    def model_events(self, name, *, limit=100):
        return pd.DataFrame(
            [
                {
                    "alias": "champion",
                    "action": action,
                    "to_version": version,
                    "done_at": pd.NaT if done is None else done,
                }
                for action, version, done in self.moves
            ],
            columns=["alias", "action", "to_version", "done_at"],
        )

    def paired_error(self, spec, name, first, second, *, since, until, block_seconds):
        assert (first, second) == (("champion", 2), ("previous", 1))
        self.asked.append((since, until))
        ends = min(until, self.until).timestamp()
        start = since.timestamp() // block_seconds * block_seconds
        blocks = np.arange(start, max(start, ends), block_seconds)
        # Errors that move together, as they do on the same events.
        wave = 100 * (2 + np.sin(np.arange(len(blocks))))
        return pd.DataFrame(
            {
                "block": (blocks * 1e6).astype(np.int64),
                "rows": np.full(len(blocks), 100),
                "first": self.ours * wave,
                "second": self.theirs * wave,
            }
        )


@pytest.fixture
def registry():
    return Registry()


def watch_of(registry, store, *, seconds=86_400.0, **more):
    return ProbationWatch(registry, store, SPEC, "m", seconds=seconds, **more)


def test_a_champion_that_is_as_good_for_long_enough_passes(registry):
    store = Store()
    watch = watch_of(registry, store)
    watched, decided = watch.step(BOTH, NOON)
    assert (watched.version, watched.former_version) == (2, 1)
    assert (watched.started_at, watched.ends_at, decided) == (NOON, NOON + DAY, None)
    # The tag is what lets its predecessor go on scoring.
    assert registry.tags[2]["probation"] == "watching"
    for hour in range(1, 24):
        assert watch.step(BOTH, NOON + hour * HOUR)[1] is None
    assert watch.step(BOTH, NOON + DAY) == (None, "passed")
    (one,) = store.probations.all
    assert one.state == "passed"
    assert one.detail["mape"] == pytest.approx(one.detail["former_mape"])
    assert "MAPE" in one.detail["reason"]
    assert registry.tags[2]["probation"] == "passed"
    # Once, whatever is looked at later.
    assert watch.step(BOTH, NOON + 2 * DAY) == (None, None)
    assert watch_of(registry, store).step(BOTH, NOON + 2 * DAY) == (None, None)


def test_another_process_goes_on_with_a_probation_and_ends_it_when_it_is_due(registry):
    store = Store()
    watch_of(registry, store).step(BOTH, NOON)
    other = watch_of(registry, store)
    assert other.step(BOTH, NOON + 3 * HOUR)[1] is None
    assert other.step(BOTH, NOON + 40 * HOUR) == (None, "passed")
    # Nothing beyond its end counts.
    assert max(until for _, until in store.asked) == NOON + DAY


def test_it_is_compared_once_a_block_and_late_events_count(registry):
    store = Store()
    watch = watch_of(registry, store)
    watch.step(BOTH, NOON)
    watch.step(BOTH, NOON + 5 * HOUR)
    asked = len(store.asked)
    for seconds in (1, 60, BLOCK_SECONDS - 1):
        watch.step(BOTH, NOON + 5 * HOUR + timedelta(seconds=seconds))
    assert len(store.asked) == asked
    watch.step(BOTH, NOON + 5 * HOUR + timedelta(seconds=BLOCK_SECONDS))
    now = NOON + 5 * HOUR + timedelta(seconds=BLOCK_SECONDS)
    assert store.asked[asked:] == [
        (NOON + 4 * HOUR, NOON + 5 * HOUR),
        (NOON + 5 * HOUR, now),
    ]


def test_without_predictions_of_both_it_lasts_as_long_again_and_no_longer(registry):
    store = Store()
    store.until = NOON
    watch = watch_of(registry, store)
    watch.step(BOTH, NOON)
    assert watch.step(BOTH, NOON + DAY)[1] is None
    assert watch.step(BOTH, NOON + 2 * DAY - HOUR)[1] is None
    assert watch.step(BOTH, NOON + 2 * DAY) == (None, "passed")
    assert "no event was predicted by both" in store.probations.all[0].detail["reason"]


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        ({"champion": 3, "previous": 2}, "another version is champion"),
        ({"champion": 2, "previous": 4}, "former champion is no longer kept"),
        ({"champion": 2}, "former champion is no longer kept"),
        ({}, "another version is champion"),
    ],
    ids=["replaced", "another former", "no former", "no champion"],
)
def test_aliases_that_moved_on_supersede_a_probation(registry, aliases, words):
    store = Store(ours=0.5)
    watch = watch_of(registry, store)
    watch.step(BOTH, NOON)
    assert watch.step(aliases, NOON + 6 * HOUR) == (None, "superseded")
    (one,) = store.probations.all
    assert one.state == "superseded"
    assert words in one.detail["reason"]
    assert "rolled_back" not in registry.tags[2]


def test_the_next_champion_gets_a_probation_of_its_own(registry):
    store = Store()
    watch = watch_of(registry, store)
    watch.step(BOTH, NOON)
    store.moves.insert(0, ("promote", 3, datetime.now(UTC)))
    after = {"champion": 3, "previous": 2}
    assert watch.step(after, NOON + HOUR) == (None, "superseded")
    watched, _ = _begun(watch, after, NOON + HOUR)
    assert (watched.version, watched.former_version) == (3, 2)


def _begun(watch, aliases, newest):
    # Comparing is of no interest here.
    watch._judge = lambda watched, newest: (watched, None)
    return watch.step(aliases, newest)


def test_a_version_that_somebody_rolled_back_counts_as_such(registry):
    store = Store()
    watch = watch_of(registry, store)
    watch.step(BOTH, NOON)
    registry.tags[2]["rolled_back"] = "by hand: it hummed"
    assert watch.step({"champion": 1}, NOON + HOUR) == (None, "rolled_back")
    (one,) = store.probations.all
    assert (one.state, one.detail["reason"]) == ("rolled_back", "by hand: it hummed")
    assert registry.tags[2]["probation"] == "rolled_back"
    held = watch.held_until(600)
    assert held == one.decided_at + timedelta(seconds=600)


def test_a_rollback_is_told_of_before_it_is_written_down(registry):
    store, told = Store(), []

    def killed(reason, detail):
        told.append((reason, store.probations.all[0].state))
        if len(told) == 1:
            raise KeyboardInterrupt

    watch_of(registry, store).step(BOTH, NOON)
    registry.tags[2]["rolled_back"] = "by hand"
    for attempt in range(2):
        watch = watch_of(registry, store, on_rollback=killed)
        try:
            decided = watch.step({"champion": 1}, NOON + HOUR)[1]
        except KeyboardInterrupt:
            assert attempt == 0
    assert decided == "rolled_back"
    assert told == [("by hand", "watching")] * 2


def test_a_version_that_was_deleted_is_no_longer_watched(registry):
    store = Store()
    watch = watch_of(registry, store)
    watch.step(BOTH, NOON)
    del registry.tags[2]
    assert watch.step({"champion": 1}, NOON + HOUR) == (None, "superseded")
    assert "deleted" in store.probations.all[0].detail["reason"]


def test_days_that_were_missed_are_compared_hour_by_hour_with_a_sign_of_life(registry):
    store, beats = Store(), []
    watch_of(registry, store).step(BOTH, NOON)
    before = len(store.asked)
    watch = watch_of(registry, store, beat=lambda: beats.append(1))
    assert watch.step(BOTH, NOON + 30 * HOUR) == (None, "passed")
    asked = store.asked[before:]
    assert asked == [(NOON + n * HOUR, NOON + (n + 1) * HOUR) for n in range(24)]
    assert len(beats) == 24


@pytest.mark.parametrize(
    ("moves", "aliases", "seconds"),
    [
        ([], BOTH, 86_400),
        ([("rollback", 2, datetime.now(UTC))], BOTH, 86_400),
        ([("promote", 2, datetime.now(UTC) - 2 * DAY)], BOTH, 86_400),
        ([("promote", 2, datetime.now(UTC))], {"champion": 2}, 86_400),
        ([("promote", 2, datetime.now(UTC))], BOTH, 0),
    ],
    ids=["no history", "by rollback", "long ago", "first", "none"],
)
def test_no_probation_begins_of_a_champion_that_is_not_new(
    registry, moves, aliases, seconds
):
    store = Store()
    store.moves = moves
    watch = watch_of(registry, store, seconds=seconds)
    assert watch.step(aliases, NOON) == (None, None)
    assert store.probations.all == []
