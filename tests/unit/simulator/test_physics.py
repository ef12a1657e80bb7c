from __future__ import annotations

import numpy as np
import pytest

from rtmlops_lib.simulator import GENERATIONS, ROLES
from rtmlops_lib.streams import FieldType

HOUR = 360  # steps of 10 s


def correlation_at(lag: int, x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of x now with y ``lag`` steps later."""
    if lag < 0:
        return correlation_at(-lag, y, x)
    return float(np.corrcoef(x[: len(x) - lag], y[lag:])[0, 1])


def test_every_value_lies_within_the_bounds_of_its_field(simulate):
    run = simulate(hours=24, servers=20, anomaly_prob=0.5)
    for batch in (run.datacenter, run.services, run.labels):
        for name, field in batch.spec.fields.items():
            if field.type is not FieldType.NUMBER:
                continue
            column = batch.columns[name]
            assert np.isfinite(column).all(), name
            assert column.min() >= field.minimum, name
            assert column.max() <= field.maximum, name


def test_optional_fields_are_always_there_and_nothing_is_null(simulate):
    run = simulate(hours=1)
    assert not np.isnan(run.datacenter.columns["memory_usage"]).any()
    assert not np.isnan(run.datacenter.columns["disk_io_mbps"]).any()
    assert run.datacenter.nulls == {}


def test_load_peaks_once_a_day_at_the_hour_of_the_role(simulate):
    run = simulate(hours=24 * 4, servers=20, interval_seconds=60)
    cpu = run.servers("cpu_usage").reshape(4, 24, 60, -1).mean(axis=(0, 2))
    for server, role in enumerate(run.fleet.role):
        peak = ROLES[role].peak_hour
        distance = abs((np.argmax(cpu[:, server]) + 0.5 - peak + 12) % 24 - 12)
        assert distance < 3, ROLES[role].name
        assert np.ptp(cpu[:, server]) > 15


def test_office_load_falls_at_the_weekend(simulate):
    run = simulate(hours=24 * 7, servers=20, interval_seconds=60)
    api = np.flatnonzero(run.fleet.role == [r.name for r in ROLES].index("api"))
    days = run.servers("cpu_usage")[:, api].reshape(7, -1).mean(axis=1)
    assert days[5:].mean() < 0.85 * days[:5].mean()


def test_noise_is_autocorrelated_beyond_the_daily_cycle(simulate):
    run = simulate(hours=24 * 7, servers=4)
    cpu = run.servers("cpu_usage").reshape(7, 24 * HOUR, -1)
    # Weekdays alone share one profile; what is left of them is noise.
    residual = cpu[:4] - cpu[:4].mean(axis=0)
    x = residual[:, :, 0].ravel()
    assert correlation_at(1, x, x) > 0.7
    assert 0.3 < correlation_at(30, x, x) < 0.8
    assert abs(correlation_at(6 * HOUR, x, x)) < 0.2


def test_temperature_follows_power_with_a_lag(simulate):
    run = simulate(hours=24, servers=3)
    for server in range(3):
        # Differences over a minute take the common daily cycle away.
        power = run.servers("power_kw")[:, server]
        heat = run.servers("temperature")[:, server]
        power, heat = power[6:] - power[:-6], heat[6:] - heat[:-6]
        lags = range(-30, 60)
        best = max(lags, key=lambda lag: correlation_at(lag, power, heat))
        assert 1 <= best <= 20


@pytest.mark.parametrize("number", range(len(GENERATIONS)))
def test_power_follows_the_curve_of_the_generation(simulate, number):
    run = simulate(hours=24 * 2, servers=20)
    members = np.flatnonzero(run.fleet.generation == number)
    generation = GENERATIONS[number]
    load = run.servers("cpu_usage")[:, members] / 100
    network = run.servers("network_gbps")[:, members] / generation.network_gbps
    span = generation.max_kw - generation.idle_kw
    expected = generation.idle_kw + span * (load**generation.exponent + 0.05 * network)
    error = run.servers("power_kw")[:, members] / expected - 1
    assert abs(error.mean()) < 0.002
    assert 0.005 < error.std() < 0.02


def test_a_small_fleet_has_several_roles_and_every_generation(simulate):
    fleet = simulate(hours=0.1, servers=8).fleet
    assert len(set(fleet.role.tolist())) >= 3
    assert set(fleet.generation.tolist()) == {0, 1, 2}


def test_a_fine_step_shows_the_same_world(simulate):
    fine, plain = (
        simulate(hours=2, servers=10, interval_seconds=step, seed=6)
        for step in (0.25, 1.0)
    )
    for field in ("cpu_usage", "power_kw", "temperature", "memory_usage"):
        # Other random numbers, the same machines at the same hours.
        a, b = fine.servers(field), plain.servers(field)
        assert np.allclose(a.mean(), b.mean(), rtol=0.05), field
        within = np.array([x.std(axis=0).mean() for x in (a, b)])
        assert 0.75 < within[0] / within[1] < 1.33, field
    # Heat moves slowly, a reading's own error does not.
    steps = np.diff(fine.servers("temperature"), axis=0)
    assert steps.std() == pytest.approx(0.25 * 2**0.5, rel=0.05)
    smooth = fine.servers("temperature").reshape(-1, 40, 10).mean(axis=1)
    assert np.abs(np.diff(smooth, axis=0)).max() < 2


def test_a_fault_strikes_between_two_seconds_too(simulate):
    fine = {"hours": 1.5, "servers": 4, "interval_seconds": 0.25, "seed": 3}
    struck = simulate(anomaly_prob=0.4, **fine)
    calm = simulate(**fine)
    onsets = struck.labels.time[struck.labels.columns["anomaly_type"] == "cpu_spike"]
    begun = onsets[onsets > struck.time[0]]
    assert any(onset % 1_000_000 for onset in begun)
    gap = struck.servers("cpu_usage") - calm.servers("cpu_usage")
    for label, time in zip(
        struck.labels.columns["server_id"], struck.labels.time, strict=True
    ):
        if time not in begun:
            continue
        server = int(label.removeprefix("srv-")) - 1
        at = int(np.searchsorted(struck.time, time))
        assert gap[at, server] > gap[at - 1, server] + 5


def test_network_goes_with_load(simulate):
    run = simulate(hours=48, servers=5)
    for server in range(5):
        cpu = run.servers("cpu_usage")[:, server]
        network = run.servers("network_gbps")[:, server]
        assert correlation_at(0, cpu, network) > 0.8


def test_latency_grows_as_a_queue_does(simulate):
    run = simulate(hours=72, servers=5)
    for instance, server in enumerate(run.fleet.service_server):
        cpu = run.servers("cpu_usage")[:, server]
        latency = run.instances("latency_p95_ms")[:, instance]
        low, middle, high = np.percentile(cpu, [10, 50, 90])
        at = [np.median(latency[abs(cpu - level) < 1]) for level in (low, middle, high)]
        slopes = (at[1] - at[0]) / (middle - low), (at[2] - at[1]) / (high - middle)
        assert slopes[1] > slopes[0] > 0


def test_services_stand_on_their_servers(simulate):
    run = simulate(hours=0.1, servers=10)
    on = zip(
        run.services.columns["service"], run.services.columns["server_id"], strict=True
    )
    for service, server_id in on:
        role = ROLES[run.fleet.role[int(server_id.removeprefix("srv-")) - 1]]
        assert service in role.services
