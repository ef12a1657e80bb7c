from __future__ import annotations

import pytest
from pydantic import ValidationError

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator import (
    ANOMALIES,
    DatacenterSimulator,
    Drift,
    Profile,
    SimulatorSettings,
    load_profile,
    profiles,
)


def test_there_are_the_six_profiles_and_each_runs(start):
    assert set(profiles()) == {
        "normal",
        "chaos",
        "temperature",
        "network",
        "production",
        "dev",
    }
    for name, profile in profiles().items():
        settings = SimulatorSettings.of_profile(name)
        chunk = next(DatacenterSimulator(settings).chunks(start, chunk_steps=2))
        assert len(chunk.datacenter) == 2 * profile.servers
        assert profile.description


def test_profiles_differ_in_what_they_are_named_for():
    assert profiles()["chaos"].anomaly_prob > 10 * profiles()["normal"].anomaly_prob
    assert profiles()["production"].anomaly_prob < profiles()["normal"].anomaly_prob
    assert max(load_profile("temperature").mix.items(), key=lambda i: i[1])[0] == (
        "temperature_high"
    )
    assert max(load_profile("network").mix.items(), key=lambda i: i[1])[0] == (
        "network_saturation"
    )
    assert set(load_profile("normal").mix) == set(ANOMALIES)


def test_a_profile_with_an_unknown_type_is_refused():
    good = load_profile("normal").model_dump()
    with pytest.raises(ValidationError, match="unknown anomaly types"):
        Profile.model_validate({**good, "mix": {"gremlins": 1}})
    with pytest.raises(ValidationError, match="weights"):
        Profile.model_validate({**good, "mix": {"cpu_spike": 0}})
    with pytest.raises(ValidationError, match="extra"):
        Profile.model_validate({**good, "colour": "red"})


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="--profile knows no 'x'.*normal, chaos"):
        load_profile("x")


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("--servers", {"servers": 0}),
        ("--servers", {"servers": 10_001}),
        ("--interval", {"interval_seconds": 0.0}),
        ("--interval", {"interval_seconds": float("nan")}),
        ("--interval", {"interval_seconds": 301.0}),
        ("--interval", {"interval_seconds": 0.33333}),
        ("--seed", {"seed": -1}),
        ("--anomaly-prob", {"anomaly_prob": -0.1}),
        ("--anomaly-prob", {"anomaly_prob": 0.51}),
        ("duration_scale", {"duration_scale": 0.0}),
        ("--drift", {"drifts": (Drift("load", 1.1), Drift("load", 1.2))}),
    ],
)
def test_an_impossible_value_is_refused_by_name(flag, values):
    with pytest.raises(UsageError, match=flag) as caught:
        SimulatorSettings(**values)
    assert caught.value.remedy
    assert caught.value.exit_code == 2
