from __future__ import annotations

import numpy as np
import pytest

from rtmlops_lib.simulator import ANOMALIES
from rtmlops_lib.streams import builtin_specs

SERVER_FIELDS = tuple(builtin_specs()["datacenter"].numeric_fields)
SERVICE_FIELDS = tuple(builtin_specs()["services"].numeric_fields)


@pytest.fixture
def pair(simulate):
    """A run with one type of anomaly, and the same world without."""

    def run(kind: str, **settings):
        common = {"hours": 24, "servers": 8, "seed": 11, **settings}
        struck = simulate(anomaly_prob=0.04, mix={kind: 1.0}, **common)
        return struck, simulate(**common)

    return run


def occurrences(run):
    """Yield (first row, last row, server, service instance) inside the run."""
    step = run.settings.interval_us
    for row in range(len(run.labels)):
        first = (int(run.labels.time[row]) - int(run.time[0])) // step
        last = (int(run.labels.columns["ended_at"][row]) - int(run.time[0])) // step
        server = int(run.labels.columns["server_id"][row].removeprefix("srv-")) - 1
        name = run.labels.columns["service"][row]
        instance = None
        if name is not None:
            on = run.fleet.instances_of(server)
            instance = int(on[run.fleet.services[on] == name][0])
        if first >= 0 and last < len(run.time):
            yield first, last, server, instance


def of_metric(run, metric, server, instance):
    if metric in SERVER_FIELDS:
        return run.servers(metric)[:, server]
    return run.instances(metric)[:, instance]


@pytest.mark.parametrize("name", ANOMALIES)
def test_a_type_shows_in_its_metric_while_it_lasts_and_not_after(pair, name):
    struck, calm = pair(name)
    kind = ANOMALIES[name]
    found = list(occurrences(struck))
    assert len(found) >= 5
    noise = {
        "cpu_usage": 6.0,
        "memory_usage": 1.5,
        "temperature": 1.5,
        "power_kw": 0.05,
        "network_gbps": 0.6,
        "disk_io_mbps": 60.0,
        "latency_p95_ms": 8.0,
        "error_rate": 0.002,
    }[kind.metric]
    for first, last, server, instance in found:
        x = of_metric(struck, kind.metric, server, instance)
        y = of_metric(calm, kind.metric, server, instance)
        effect = x - y
        assert effect[first : last + 1].max() > 3 * noise
    # Away from every label the two worlds are one, but for heat's last breath.
    server_quiet = np.ones((len(struck.time), 8), bool)
    step = struck.settings.interval_us
    for row in range(len(struck.labels)):
        first = (int(struck.labels.time[row]) - int(struck.time[0])) // step
        last = (
            int(struck.labels.columns["ended_at"][row]) - int(struck.time[0])
        ) // step
        server = int(struck.labels.columns["server_id"][row].removeprefix("srv-")) - 1
        server_quiet[max(first, 0) : last + 1, server] = False
    for field in SERVER_FIELDS:
        difference = abs(struck.servers(field) - calm.servers(field))[server_quiet]
        assert difference.max() <= (2.5 if field == "temperature" else 0.011), field
    quiet = server_quiet[:, struck.fleet.service_server]
    for field in SERVICE_FIELDS:
        difference = abs(struck.instances(field) - calm.instances(field))[quiet]
        assert difference.max() <= 0.011, field


def strongest_change(struck, calm, field, lag=0):
    """Median effect on a field in the middle of the causes, relative."""
    changes = []
    for first, last, server, _ in occurrences(struck):
        middle = (first + last) // 2
        columns = (
            [server]
            if field in SERVER_FIELDS
            else struck.fleet.instances_of(server).tolist()
        )
        get = "servers" if field in SERVER_FIELDS else "instances"
        x = getattr(struck, get)(field)[first:middle, columns]
        y = getattr(calm, get)(field)[first:middle, columns]
        changes.append((x / y - 1).max())
    return float(np.median(changes))


@pytest.mark.parametrize(
    ("name", "field", "least"),
    [
        ("cpu_spike", "power_kw", 0.2),
        ("cpu_spike", "temperature", 0.1),
        ("cpu_spike", "latency_p95_ms", 0.5),
        ("power_surge", "temperature", 0.05),
        ("temperature_high", "power_kw", 0.02),
        ("network_saturation", "latency_p95_ms", 0.8),
        ("disk_io_bottleneck", "latency_p95_ms", 0.8),
        ("error_burst", "request_rate", 0.1),
        ("memory_leak", "disk_io_mbps", 0.2),
    ],
)
def test_a_type_has_its_physical_side_effects(pair, name, field, least):
    struck, calm = pair(name)
    assert strongest_change(struck, calm, field) > least


def test_heat_follows_a_cpu_spike_late(pair):
    struck, calm = pair("cpu_spike")
    effect = struck.servers("temperature") - calm.servers("temperature")
    alone = [
        effect[first : first + 40, server]
        for first, last, server, _ in occurrences(struck)
        if last - first > 90 and first and effect[first - 1, server] < 0.5
    ]
    assert len(alone) >= 3
    for heat in alone:
        assert heat[0] < 0.3 * heat.max()


def test_an_abrupt_type_is_there_at_once_and_a_leak_grows(pair):
    struck, calm = pair("cpu_spike")
    first, _, server, _ = next(occurrences(struck))
    effect = (struck.servers("cpu_usage") - calm.servers("cpu_usage"))[:, server]
    assert abs(effect[first - 1]) < 0.011
    assert effect[first] > 10
    struck, calm = pair("memory_leak")
    first, last, server, _ = next(occurrences(struck))
    effect = (struck.servers("memory_usage") - calm.servers("memory_usage"))[:, server]
    thirds = np.array_split(effect[first : last + 1], 3)
    assert thirds[0].mean() < thirds[1].mean() < thirds[2].mean()


def test_a_service_anomaly_leaves_the_other_services_alone(pair):
    struck, calm = pair("latency_spike")
    marked = np.zeros((len(struck.time), len(struck.fleet.services)), bool)
    for row in range(len(struck.labels)):
        step = struck.settings.interval_us
        first = (int(struck.labels.time[row]) - int(struck.time[0])) // step
        last = (
            int(struck.labels.columns["ended_at"][row]) - int(struck.time[0])
        ) // step
        server = int(struck.labels.columns["server_id"][row].removeprefix("srv-")) - 1
        service = struck.labels.columns["service"][row]
        on = struck.fleet.instances_of(server)
        marked[max(0, first) : last + 1, on[struck.fleet.services[on] == service]] = (
            True
        )
    differing = struck.instances("latency_p95_ms") != calm.instances("latency_p95_ms")
    assert differing[marked].mean() > 0.99
    assert not differing[~marked].any()


def test_labels_say_type_metric_and_span(simulate):
    run = simulate(hours=48, anomaly_prob=0.3)
    labels = run.labels
    assert set(labels.columns["anomaly_type"]) == set(ANOMALIES)
    for row in range(len(labels)):
        kind = ANOMALIES[labels.columns["anomaly_type"][row]]
        assert labels.columns["metric"][row] == kind.metric
        assert (labels.columns["service"][row] is not None) == kind.of_service
        minutes = (labels.columns["ended_at"][row] - labels.time[row]) / 60e6
        low, high = (m + kind.recovery_minutes for m in kind.minutes)
        assert low - 0.35 <= minutes <= high + 0.35
        assert 0.6 <= labels.columns["severity"][row] <= 1
    assert len(set(labels.identities())) == len(labels)


def test_an_anomaly_under_way_at_the_start_is_labelled_once(simulate):
    run = simulate(hours=3, anomaly_prob=0.4, chunk_steps=10)
    before = run.labels.time < run.time[0]
    assert before.any()
    assert (run.labels.columns["ended_at"][before] >= run.time[0]).all()
    assert len(set(run.labels.identities())) == len(run.labels)


def test_labels_are_never_in_the_events(simulate):
    run = simulate(hours=6, anomaly_prob=0.5)
    assert len(run.labels)
    for batch in (run.datacenter, run.services):
        assert set(batch.columns) == set(batch.spec.fields)
        assert batch.attributes is None
        for name in ("anomaly_type", "severity", "ended_at", "metric"):
            assert name not in batch.columns


@pytest.mark.parametrize("prob", [0.02, 0.2])
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_the_share_of_time_in_anomalies_is_the_one_asked_for(simulate, prob, scale):
    run = simulate(
        hours=24 * 5,
        servers=60,
        interval_seconds=60.0,
        anomaly_prob=prob,
        duration_scale=scale,
    )
    step = run.settings.interval_us
    anomalous = np.zeros((len(run.time), 60), bool)
    for row in range(len(run.labels)):
        first = (int(run.labels.time[row]) - int(run.time[0])) // step
        last = (int(run.labels.columns["ended_at"][row]) - int(run.time[0])) // step
        server = int(run.labels.columns["server_id"][row].removeprefix("srv-")) - 1
        anomalous[max(first, 0) : last + 1, server] = True
    # 7,200 server-hours hold hundreds of anomalies: four standard errors.
    tolerance = 4 / np.sqrt(len(run.labels))
    assert anomalous.mean() == pytest.approx(prob, rel=tolerance)


def test_without_anomalies_there_are_no_labels(simulate):
    assert len(simulate(hours=24, anomaly_prob=0.0).labels) == 0


def test_the_mix_decides_which_types_come(simulate):
    mix = {"cpu_spike": 3.0, "error_burst": 1.0, "memory_leak": 0.0}
    run = simulate(hours=24 * 3, servers=30, anomaly_prob=0.3, mix=mix)
    types = run.labels.columns["anomaly_type"].tolist()
    assert set(types) == {"cpu_spike", "error_burst"}
    assert types.count("cpu_spike") / len(types) == pytest.approx(0.75, abs=0.05)
