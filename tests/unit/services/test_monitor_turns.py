"""One round of the monitor over its streams: how long it rests, and what it says."""

from __future__ import annotations

import pytest

from rtmlops_lib.errors import ConfigurationFault, DependencyUnavailable
from rtmlops_lib.services.backoff import CONFIGURATION_RETRY_SECONDS
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.monitor import Monitor
from rtmlops_lib.services.monitor_metrics import MonitorMetrics
from rtmlops_lib.settings import Settings


class Watch:
    """A stream's watch that answers what it is told to."""

    def __init__(self, name, answer=None, *, behind=False, notes=()):
        self.name, self.answer = name, answer
        self.behind, self.notes = behind, notes
        self.steps = 0

    def step(self):
        self.steps += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def turn():
    health, metrics = Health(), MonitorMetrics()
    monitor = Monitor(
        Settings(monitor_poll_seconds=7), [], health=health, metrics=metrics
    )

    def once(*watches):
        monitor._watches = list(watches)
        pause, _ = monitor._turn(())
        return pause, health

    return once


def test_it_rests_between_rounds_unless_windows_wait(turn):
    assert turn(Watch("a"), Watch("b"))[0] == 7
    other = Watch("b")
    assert turn(Watch("a", behind=True), other)[0] == 0
    # The others got their look all the same.
    assert other.steps == 1


def test_a_stream_that_is_broken_or_misconfigured_does_not_stop_the_others(turn):
    last = Watch("c")
    pause, health = turn(
        Watch("a", DependencyUnavailable("the database is away")),
        Watch("b", RuntimeError("a row")),
        last,
    )
    assert (pause, last.steps) == (7, 1)
    assert health.reasons[0] == "a: the database is away"
    assert health.reasons[1].startswith("b: internal error")
    pause, _ = turn(Watch("a", ConfigurationFault("no token")), last)
    assert pause == CONFIGURATION_RETRY_SECONDS


def test_what_cannot_be_judged_is_said_though_it_is_ready(turn):
    _, health = turn(Watch("a", notes=("a: never judged",)), Watch("b"))
    assert health.ready
    assert health.notes == ["a: never judged"]
    _, health = turn(Watch("a"), Watch("b"))
    assert health.notes == []
