from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rtmlops_lib.errors import UsageError
from rtmlops_lib.services.generator_plan import LivePlan, drift_moment

NOW = datetime(2025, 9, 30, 12, 0, 3, tzinfo=UTC)


def plan(**values):
    return LivePlan.resolve(
        **{"servers": 20, "default_interval_seconds": 10.0, **values}
    )


def test_real_time_is_the_default():
    chosen = plan()
    assert (chosen.speed, chosen.rate, chosen.events) == (1.0, 2.0, 600)


def test_a_rate_alone_sets_the_speed():
    chosen = plan(rate=1000)
    assert (chosen.interval_seconds, chosen.speed) == (10.0, 500.0)


def test_a_rate_and_a_speed_set_the_step():
    chosen = plan(rate=100, speed=10)
    assert (chosen.interval_seconds, chosen.rate) == (2.0, 100)


def test_a_rate_without_end_sets_the_step():
    chosen = plan(rate=100, duration_seconds=0)
    assert (chosen.interval_seconds, chosen.speed, chosen.events) == (0.2, 1.0, None)


def test_agreeing_values_are_accepted():
    assert plan(rate=120, speed=60, interval_seconds=10.0).rate == 120


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ({"rate": 100, "speed": 60, "interval_seconds": 10.0}, ["--rate", "--speed"]),
        ({"rate": 0}, ["--rate"]),
        ({"rate": -5}, ["--rate"]),
        ({"rate": 2e6}, ["--rate"]),
        ({"speed": 0}, ["--speed"]),
        ({"speed": float("nan")}, ["--speed"]),
        ({"duration_seconds": -1}, ["--duration"]),
        ({"speed": 60, "duration_seconds": 0}, ["--speed", "--duration"]),
        ({"rate": 0.01, "duration_seconds": 0}, ["--rate", "--servers"]),
        ({"rate": 1000, "speed": 1}, ["--rate", "--servers", "--speed"]),
        (
            {"rate": 5, "interval_seconds": 10.0, "duration_seconds": 0},
            ["--rate", "--interval"],
        ),
        ({"speed": 1e9}, ["--speed"]),
        ({"rate": 1e6, "interval_seconds": 300.0, "duration_seconds": 1e5}, ["--rate"]),
    ],
)
def test_what_contradicts_itself_is_refused_by_name_with_a_remedy(values, flags):
    with pytest.raises(UsageError) as caught:
        plan(**values)
    assert caught.value.remedy
    for flag in flags:
        assert flag in str(caught.value)


@given(
    servers=st.integers(1, 1000),
    interval=st.sampled_from([0.1, 1.0, 10.0, 60.0]),
    speed=st.floats(0.1, 100),
    duration=st.floats(1, 3600),
)
def test_simulated_time_meets_the_clock_at_the_end_and_never_passes_it(
    servers, interval, speed, duration
):
    chosen = plan(
        servers=servers,
        interval_seconds=interval,
        speed=speed,
        duration_seconds=duration,
    )
    assert chosen.rate == pytest.approx(servers * speed / interval)
    start, step = chosen.start(NOW), timedelta(seconds=interval)
    end = start + timedelta(seconds=speed * duration)
    wall_end = NOW + timedelta(seconds=duration)
    assert end <= wall_end + timedelta(milliseconds=1)
    assert start <= NOW
    if speed >= 1:
        assert wall_end - end <= step + timedelta(milliseconds=1)
    assert round(start.timestamp() * 1000) % round(interval * 1000) == 0


def test_drift_moments():
    start, end = NOW, NOW + timedelta(days=2)
    assert drift_moment("+2h", start, end) == NOW + timedelta(hours=2)
    assert drift_moment("25%", start, end) == NOW + timedelta(hours=12)
    assert drift_moment("2025-10-01T00:00:00Z", start, None) == datetime(
        2025, 10, 1, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "text", ["soon", "2h", "2025-10-01T00:00:00", "+3d", "100%", "2026-01-01T00:00:00Z"]
)
def test_what_is_no_drift_moment_is_refused_by_name(text):
    with pytest.raises(UsageError, match="--drift-at"):
        drift_moment(text, NOW, NOW + timedelta(days=2))
    with pytest.raises(UsageError, match="--drift-at 50%"):
        drift_moment("50%", NOW, None)


# The command line over it; every refusal comes before a connection is tried.


@pytest.fixture
def invoke():
    from rtmlops_lib.cli.generate import generate

    app = typer.Typer()
    app.command()(generate)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--servers", "-3"], "--servers"),
        (["--servers", "20000"], "--servers"),
        (["--anomaly-prob", "1.5"], "--anomaly-prob"),
        (["--interval", "0"], "--interval"),
        (["--interval", "soon"], "--interval"),
        (["--duration", "-5"], "--duration"),
        (["--rate", "0"], "--rate"),
        (["--seed", "-1"], "--seed"),
        (["--profile", "none"], "--profile"),
        (["--config", "none"], "--profile"),
        (["--direct"], "--direct"),
        (["--backfill", "7d", "--speed", "60"], "--speed"),
        (["--backfill", "7d", "--rate", "60"], "--rate"),
        (["--backfill", "7d", "--duration", "60"], "--duration"),
        (["--backfill", "1s"], "--backfill"),
        (["--backfill", "99999d"], "--backfill"),
        (["--drift-at", "+1h"], "--drift-at"),
        (["--drift", "gravity=2"], "--drift"),
        (["--drift", "load=1.2", "--drift", "load=1.3"], "--drift"),
        (["--stream", "trips"], "--stream"),
    ],
)
def test_an_impossible_flag_is_refused_by_name(invoke, arguments, flag):
    result = invoke(*arguments)
    assert isinstance(result.exception, UsageError)
    assert flag in str(result.exception)
    assert result.exception.remedy


def test_every_flag_says_its_unit():
    from rtmlops_lib.cli.generate import generate

    app = typer.Typer()
    app.command()(generate)
    units = {
        "--profile": "normal, chaos",
        "--servers": "in servers",
        "--anomaly-prob": "Share of a server's time",
        "--duration": "seconds",
        "--interval": "seconds",
        "--rate": "events/s",
        "--speed": "seconds a wall-clock second",
        "--backfill": "7d",
        "--direct": "no unit",
        "--seed": "no unit",
        "--drift": "factor",
        "--drift-at": "simulated time",
        "--stream": "no unit",
        "--topic-prefix": "topic",
        "--client": "kafka-python",
        "--json": "JSON",
    }
    options = {
        option.opts[0]: option
        for option in typer.main.get_command(app).params
        if "completion" not in option.name
    }
    assert set(options) >= set(units)
    for name, unit in units.items():
        assert unit in options[name].help, name
    assert "--config" in options["--profile"].opts


def test_a_run_at_the_clocks_pace_begins_behind_the_one_before_it():
    plan = LivePlan.resolve(servers=20, default_interval_seconds=10.0)
    start = plan.start(NOW)
    step = timedelta(seconds=10)
    assert plan.behind(None, start) == start
    assert plan.behind(start - step, start) == start
    assert plan.behind(start, start) == start + step
    # What lies further ahead is somebody else's clock.
    assert plan.behind(start + step, start) == start
    fast = LivePlan.resolve(servers=20, default_interval_seconds=10.0, speed=60)
    assert fast.behind(start, start) == start
