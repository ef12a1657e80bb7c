from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.streams import ColumnBatch


def same(a: ColumnBatch, b: ColumnBatch) -> bool:
    return np.array_equal(a.time, b.time) and all(
        np.array_equal(a.columns[name], b.columns[name]) for name in a.columns
    )


def test_the_same_seed_gives_the_same_events(simulate):
    one, two = (simulate(hours=2, seed=3, anomaly_prob=0.3) for _ in range(2))
    assert same(one.datacenter, two.datacenter)
    assert same(one.services, two.services)
    assert same(one.labels, two.labels)
    assert len(one.labels)


def test_another_seed_gives_other_events(simulate):
    one, two = (simulate(hours=1, seed=seed) for seed in (1, 2))
    differing = one.servers("cpu_usage") != two.servers("cpu_usage")
    assert differing.mean() > 0.95


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chunk_steps=st.integers(1, 700))
def test_events_do_not_depend_on_the_chunk_size(simulate, chunk_steps):
    reference = simulate(hours=1, seed=5, anomaly_prob=0.3)
    other = simulate(hours=1, seed=5, anomaly_prob=0.3, chunk_steps=chunk_steps)
    assert same(reference.datacenter, other.datacenter)
    assert same(reference.services, other.services)
    assert same(reference.labels, other.labels)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(minutes=st.integers(1, 600), seed=st.integers(0, 2**40))
def test_a_later_run_repeats_the_events_of_an_earlier_one(
    simulate, start, minutes, seed
):
    early = simulate(hours=11, seed=seed, anomaly_prob=0.3)
    late = simulate(
        start=start + timedelta(minutes=minutes),
        hours=11 - minutes / 60,
        seed=seed,
        anomaly_prob=0.3,
    )
    assert same(
        early.datacenter.take(early.datacenter.time >= late.datacenter.time[0]),
        late.datacenter,
    )
    assert same(
        early.services.take(early.services.time >= late.services.time[0]),
        late.services,
    )
    known = set(early.labels.identities())
    begun = late.labels.time >= early.datacenter.time[0]
    assert {*late.labels.take(begun).identities()} <= known


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    interval=st.sampled_from([0.1, 0.25, 0.3, 0.7, 0.999]),
    skipped=st.integers(0, 500),
    chunk_steps=st.integers(1, 700),
)
def test_a_fine_step_repeats_too_wherever_a_run_begins(
    simulate, start, interval, skipped, chunk_steps
):
    fine = {"seed": 4, "servers": 3, "anomaly_prob": 0.3, "interval_seconds": interval}
    early = simulate(hours=600 * interval / 3600, **fine)
    first = int(early.datacenter.time[3 * skipped])
    late = simulate(
        start=start + timedelta(microseconds=first - int(start.timestamp() * 1e6)),
        hours=100 * interval / 3600,
        chunk_steps=chunk_steps,
        **fine,
    )
    end = late.datacenter.time[-1]
    for stream in ("datacenter", "services"):
        whole = getattr(early, stream)
        kept = (whole.time >= first) & (whole.time <= end)
        assert same(whole.take(kept), getattr(late, stream))


@pytest.mark.parametrize("interval", [0.1, 0.3, 1.0, 10.0])
def test_the_warm_up_is_bounded_and_can_be_ended(start, interval):
    simulator = DatacenterSimulator(
        SimulatorSettings(servers=2, interval_seconds=interval)
    )
    shares: list[float] = []

    def note(share):
        shares.append(share)
        return True

    next(simulator.chunks(start, chunk_steps=1, warming=note))
    assert shares == sorted(shares) and shares[0] == 0 and 0.8 < shares[-1] < 1
    # Five hours on a grid of a second at the finest, in blocks.
    assert len(shares) <= 18_000 / 32 + 1
    asked = iter([True, True, False])
    assert list(simulator.chunks(start, warming=lambda _: next(asked))) == []


@pytest.mark.parametrize("interval", [0.1, 10.0])
def test_more_servers_leave_the_first_ones_alone(simulate, interval):
    few, many = (
        simulate(
            hours=720 * interval / 3600,
            seed=8,
            servers=n,
            anomaly_prob=0.3,
            interval_seconds=interval,
        )
        for n in (4, 30)
    )
    for field in ("cpu_usage", "power_kw", "temperature"):
        assert np.array_equal(few.servers(field), many.servers(field)[:, :4])
    width = len(few.fleet.services)
    latency = many.instances("latency_p95_ms")[:, :width]
    assert np.array_equal(few.instances("latency_p95_ms"), latency)


def test_events_come_in_order_on_the_grid_of_the_step(simulate, start):
    run = simulate(hours=1, interval_seconds=2.5, chunk_steps=7)
    assert np.all(np.diff(run.datacenter.time) >= 0)
    assert np.all(np.diff(run.time) == 2_500_000)
    assert run.time[0] == start.timestamp() * 1e6
    assert len(run.time) == 1440
    assert len(set(run.datacenter.identities())) == len(run.datacenter)
    assert len(set(run.services.identities())) == len(run.services)


def test_start_and_end_bound_the_times(start):
    simulator = DatacenterSimulator(SimulatorSettings(servers=1))
    begin, end = start + timedelta(seconds=3), start + timedelta(seconds=40)
    (chunk,) = simulator.chunks(begin, end)
    seconds = (chunk.datacenter.time / 1e6 - start.timestamp()).tolist()
    assert seconds == [10.0, 20.0, 30.0]
    assert simulator.steps(begin, end) == 3
    assert list(simulator.chunks(begin, begin)) == []


def test_a_run_can_be_repeated_and_need_not_end(start):
    simulator = DatacenterSimulator(SimulatorSettings(servers=2))
    first = next(simulator.chunks(start))
    again = next(simulator.chunks(start))
    assert same(first.datacenter, again.datacenter)


def test_impossible_spans_are_refused(start):
    simulator = DatacenterSimulator(SimulatorSettings(servers=1))
    with pytest.raises(UsageError, match="before the start"):
        simulator.chunks(start, start - timedelta(hours=1))
    with pytest.raises(UsageError, match="zone"):
        simulator.chunks(start.replace(tzinfo=None))
    with pytest.raises(UsageError, match="1970"):
        simulator.chunks(start.replace(year=1970))


def test_a_span_is_its_chunks_joined(simulate, start):
    reference = simulate(hours=1, seed=5, servers=3, anomaly_prob=0.3)
    simulator = DatacenterSimulator(
        SimulatorSettings(servers=3, seed=5, anomaly_prob=0.3)
    )
    chunk = simulator.span(start, start + timedelta(hours=1))
    assert chunk.steps == 360
    assert same(chunk.datacenter, reference.datacenter)
    assert same(chunk.labels, reference.labels)
    with pytest.raises(UsageError, match="no sampling step"):
        simulator.span(start, start)
