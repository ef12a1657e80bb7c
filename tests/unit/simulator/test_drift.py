from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator import Drift

FIELDS = (
    "cpu_usage",
    "temperature",
    "power_kw",
    "network_gbps",
    "memory_usage",
    "disk_io_mbps",
)


@pytest.fixture
def worlds(simulate, start):
    """The steps before and after a drift at noon, drifted and not."""

    def run(name: str, value: float):
        at = start + timedelta(hours=12)
        drifted = simulate(drifts=(Drift(name, value, at),))
        calm = simulate()
        return drifted, calm, drifted.time >= at.timestamp() * 1e6

    return run


def test_a_power_curve_drift_changes_power_alone_and_only_after(worlds):
    drifted, calm, after = worlds("power_curve", 1.2)
    for field in FIELDS:
        x, y = drifted.servers(field), calm.servers(field)
        assert np.array_equal(x[~after], y[~after])
        if field != "power_kw":
            assert np.array_equal(x[after], y[after])
    ratio = drifted.servers("power_kw")[after] / calm.servers("power_kw")[after]
    assert np.allclose(ratio, 1.2, atol=0.001)
    latency = drifted.instances("latency_p95_ms")
    assert np.array_equal(latency, calm.instances("latency_p95_ms"))


def test_a_load_drift_changes_what_follows_from_load(worlds):
    drifted, calm, after = worlds("load", 1.3)
    for field in FIELDS:
        x, y = drifted.servers(field), calm.servers(field)
        assert np.array_equal(x[~after], y[~after])
        assert x[after].mean() > 1.01 * y[after].mean()
    ratio = drifted.servers("cpu_usage")[after] / calm.servers("cpu_usage")[after]
    assert np.median(ratio) == pytest.approx(1.3, abs=0.02)


def test_an_ambient_drift_changes_temperature_alone(worlds):
    drifted, calm, after = worlds("ambient", 5.0)
    for field in FIELDS:
        x, y = drifted.servers(field), calm.servers(field)
        if field == "temperature":
            assert (x - y)[-100:].mean() == pytest.approx(5, abs=0.05)
            assert np.array_equal(x[~after], y[~after])
        else:
            assert np.array_equal(x, y)


def test_a_drift_without_a_time_always_was(simulate):
    drifted = simulate(hours=1, drifts=(Drift("power_curve", 2.0),))
    ratio = drifted.servers("power_kw") / simulate(hours=1).servers("power_kw")
    assert np.allclose(ratio, 2.0, atol=0.001)


@pytest.mark.parametrize(
    "text",
    ["power_curve", "power_curve=", "power_curve=x", "=1", "load=nan", "ghost=1"],
)
def test_what_is_no_drift_is_refused_by_name(text):
    with pytest.raises(UsageError, match="--drift"):
        Drift.parse(text)


@pytest.mark.parametrize("text", ["power_curve=0", "load=100", "ambient=-300"])
def test_an_impossible_drift_is_refused_with_its_bounds(text):
    with pytest.raises(UsageError, match="must lie between"):
        Drift.parse(text)


def test_a_drift_needs_a_zone(start):
    with pytest.raises(UsageError, match="zone"):
        Drift("load", 1.1, start.replace(tzinfo=None))
