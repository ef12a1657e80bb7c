"""The gate: lets the better pass, and not the lucky."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtmlops_lib.models.gate import GateReport, block_bootstrap, holm, judge
from rtmlops_lib.models.settings import GateSettings

HOURS, SERVERS, A_DAY = 48, 8, 86_400_000_000


class World:
    """Two days of eight servers every minute, in four groups."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        minutes = np.repeat(np.arange(HOURS * 60), SERVERS)
        self.time = minutes * 60_000_000
        self.groups = np.tile(np.arange(SERVERS) // 2, HOURS * 60)
        self.y = np.full(len(minutes), 2.0)

    def errors(self, scale: float) -> NDArray[np.float64]:
        """Errors that depend on one another for about an hour."""
        hourly = self.random.standard_normal(HOURS)[self.time // 3_600_000_000]
        own = self.random.standard_normal(len(self.time))
        return scale * (0.8 * hourly + 0.6 * own)

    def judge(
        self,
        candidate: NDArray[np.float64],
        champion: NDArray[np.float64],
        micros: float = 5.0,
        **changes: float,
    ) -> GateReport:
        return judge(
            time=self.time,
            groups=self.groups,
            y=self.y,
            candidate=self.y + candidate,
            reference=self.y + champion,
            against="champion v1",
            micros_per_row=micros,
            settings=GateSettings(**changes),
        )


def failed(report: GateReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_a_clearly_better_version_passes() -> None:
    world = World()
    error = world.errors(0.1)
    report = world.judge(0.7 * error, error)
    assert report.passed
    assert "passed against champion v1" in report.summary


def test_the_same_version_does_not_pass() -> None:
    world = World()
    error = world.errors(0.1)
    assert failed(world.judge(error, error)) == ["lower error"]


def test_a_worse_version_does_not_pass() -> None:
    world = World()
    error = world.errors(0.1)
    assert "lower error" in failed(world.judge(1.2 * error, error))


def test_equally_good_versions_pass_by_luck_rarely() -> None:
    passed = 0
    for seed in range(60):
        world = World(seed)
        passed += world.judge(world.errors(0.1), world.errors(0.1)).passed
    # 5 % are the gate's own rate; rows taken as independent pass far more often.
    assert passed <= 8


def test_rows_taken_as_independent_would_let_luck_pass() -> None:
    lucky = {"block": 0, "row": 0}
    for seed in range(40):
        world = World(seed)
        ours, theirs = (np.abs(world.errors(0.1)) for _ in range(2))
        for name, block in (
            ("block", world.time // 3_600_000_000),
            ("row", np.arange(len(ours))),
        ):
            change = block_bootstrap(ours, theirs, block, 200, seed)
            lucky[name] += np.quantile(change, 0.95) < 0
    assert lucky["row"] > 3 * max(1, lucky["block"])


def test_one_group_that_gets_worse_stops_a_better_version() -> None:
    world = World()
    error = world.errors(0.1)
    ours = np.where(world.groups == 2, 1.5, 0.5) * error
    report = world.judge(ours, error)
    assert failed(report) == ["no group worse"]
    assert "group 3 of 4" in report.summary


def test_a_group_within_the_margin_does_not() -> None:
    world = World()
    error = world.errors(0.1)
    ours = np.where(world.groups == 2, 1.03, 0.5) * error
    assert world.judge(ours, error).passed
    assert not world.judge(ours, error, group_margin=0.0).passed


def test_a_slow_version_is_refused_however_good() -> None:
    world = World()
    error = world.errors(0.1)
    assert failed(world.judge(0.1 * error, error, micros=52.0)) == ["fast enough"]


def test_too_short_a_time_gives_no_verdict() -> None:
    world = World()
    error = world.errors(0.1)
    few = world.time < 1_800_000_000
    report = judge(
        time=world.time[few],
        groups=world.groups[few],
        y=world.y[few],
        candidate=world.y[few],
        reference=(world.y + error)[few],
        against="champion v1",
        micros_per_row=5.0,
        settings=GateSettings(),
    )
    assert failed(report) == ["enough data"]


def test_the_verdict_depends_on_nothing_but_the_rows() -> None:
    world = World()
    error = world.errors(0.1)
    once, again = (world.judge(0.95 * error, error) for _ in range(2))
    assert once == again


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_plain_and_the_bonferroni_value(p: list[float]) -> None:
    plain = np.array(p)
    adjusted = holm(plain)
    assert (adjusted >= plain).all()
    assert (adjusted <= np.minimum(plain * len(p), 1) + 1e-12).all()
    order = np.argsort(plain, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="extra"):
        GateSettings(confidnce=0.9)
