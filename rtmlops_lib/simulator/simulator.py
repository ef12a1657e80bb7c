"""The datacenter: physics of servers and services, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator._assemble import Assembler, Part
from rtmlops_lib.simulator._random import Stream, generator
from rtmlops_lib.simulator.chunk import SimulatedChunk
from rtmlops_lib.simulator.drift import DRIFTS
from rtmlops_lib.simulator.fleet import Fleet
from rtmlops_lib.simulator.noise import AutoregressiveNoise, FirstOrderLag
from rtmlops_lib.simulator.schedule import AnomalySchedule, Occurrence
from rtmlops_lib.simulator.settings import SimulatorSettings
from rtmlops_lib.streams import builtin_specs

__all__ = ["DatacenterSimulator"]

Array = NDArray[np.float64]

# Physics runs in blocks of this many steps on a grid fixed since 1970, whatever the
# chunks asked for: the same instants always meet the same random numbers.
_BLOCK = 128
# Noise and heat forget: after this time a run that began elsewhere has the same
# state to within 1e-13, far below the last digit that is emitted.
_WARM_UP_SECONDS = 18_000.0

_HEAT_SECONDS = 150.0
_MEMORY_SECONDS = 600.0

# Autocorrelated noise by server: time constant in seconds. Unit variance each.
_SERVER_NOISE = {
    "load_slow": 600.0,
    "load_fast": 60.0,
    "network": 180.0,
    "memory": 600.0,
    "disk": 120.0,
    "power": 60.0,
}
_SERVER_WHITE = ("cpu", "power_reading", "temperature_reading")
_SERVICE_NOISE = {"requests": 120.0, "latency": 60.0, "errors": 60.0}
_SERVICE_FIELDS = frozenset(builtin_specs()["services"].fields)
# Requests answered by one server at full demand, per second; latency of an idle
# service in ms; share of errors in calm.
_SERVICES = {
    "frontend": (900.0, 18.0, 0.002),
    "search": (250.0, 45.0, 0.003),
    "orders": (400.0, 25.0, 0.002),
    "payments": (150.0, 60.0, 0.004),
    "accounts-db": (1200.0, 6.0, 0.001),
    "reports": (8.0, 400.0, 0.005),
    "objects": (600.0, 12.0, 0.001),
}


class DatacenterSimulator:
    r"""A fleet of servers and services, seeded, as columns.

    Each step: demand (day, week, autocorrelated noise) → CPU → package power by the
    generation's curve → temperature, a first-order lag of power and load over the
    inlet air → readings; services follow their server's CPU as a queue does
    (:math:`1 / (1 - \rho)`). Anomalies act on causes and physics carries them on.

    An event depends on the settings and its own time only: not on the chunks asked
    for, nor on where a run begins, nor (for the first servers) on the fleet's size.
    Overlapping runs with the same settings therefore repeat the same events.

    Parameters
    ----------
    settings : SimulatorSettings

    Notes
    -----
    Taught in chapter 02.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> start = datetime(2025, 9, 30, 12, tzinfo=UTC)
    >>> simulator = DatacenterSimulator(SimulatorSettings(servers=2, seed=7))
    >>> chunk = next(simulator.chunks(start, start + timedelta(minutes=1)))
    >>> chunk.steps, len(chunk.datacenter), len(chunk.services)
    (6, 12, 18)
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.fleet = Fleet(settings.servers, settings.seed)
        self.schedule = AnomalySchedule(settings, self.fleet)
        self._assembler = Assembler(settings, self.fleet, self.schedule)
        self._service_parameters = np.array(
            [_SERVICES[name] for name in self.fleet.services.tolist()]
        ).T
        self._reset()

    def _reset(self) -> None:
        step = self.settings.interval_seconds
        servers, services = len(self.fleet), len(self.fleet.services)
        self._server_noise = AutoregressiveNoise(
            np.repeat(list(_SERVER_NOISE.values()), servers), step
        )
        self._service_noise = AutoregressiveNoise(
            np.repeat(list(_SERVICE_NOISE.values()), services), step
        )
        self._cooling_noise = AutoregressiveNoise(np.array([600.0]), step)
        self._memory = FirstOrderLag(_MEMORY_SECONDS, step)
        self._heat = FirstOrderLag(_HEAT_SECONDS, step)

    def steps(self, start: datetime, end: datetime) -> int:
        """Return how many sampling steps lie in ``start <= time < end``."""
        return max(0, self._step_at(end) - self._step_at(start))

    def chunks(
        self,
        start: datetime,
        end: datetime | None = None,
        *,
        chunk_steps: int = _BLOCK,
    ) -> Iterator[SimulatedChunk]:
        """Yield the events with ``start <= time < end``, in order, without end if None.

        Times are multiples of the sampling step since 1970. Memory is bounded by the
        chunk, not by the span.

        Parameters
        ----------
        start, end : datetime
            UTC-aware.
        chunk_steps : int
            Steps a chunk; the last may have fewer.

        Raises
        ------
        UsageError
            For naive times, an end before the start, or a start before 1971.
        """
        first = self._step_at(start)
        last = None if end is None else self._step_at(end)
        if last is not None and last < first:
            raise UsageError(
                f"the end {end} lies before the start {start}", remedy="swap them"
            )
        if start.year < 1971 or chunk_steps < 1:
            raise UsageError(
                "start must lie after 1970 and chunk_steps be at least 1, "
                f"got {start} and {chunk_steps}"
            )
        return self._chunks(first, last, chunk_steps)

    def span(self, start: datetime, end: datetime) -> SimulatedChunk:
        """Return the events with ``start <= time < end`` at once.

        For what fits into memory; ``chunks`` yields the same events bit by bit.

        Raises
        ------
        UsageError
            As ``chunks``, and when no sampling step lies in the span.
        """
        steps = self.steps(start, end)
        for chunk in self.chunks(start, end, chunk_steps=max(1, steps)):
            return chunk
        raise UsageError(
            f"no sampling step lies between {start} and {end}",
            remedy=f"one comes every {self.settings.interval_seconds:g} s",
        )

    def _chunks(
        self, first: int, last: int | None, chunk_steps: int
    ) -> Iterator[SimulatedChunk]:
        self._reset()
        warm_up = int(_WARM_UP_SECONDS / self.settings.interval_seconds)
        block = max(0, first - warm_up) // _BLOCK
        while (block + 1) * _BLOCK <= first:
            self._run_block(block)
            block += 1
        parts: list[Part] = []
        held, at = 0, first
        while last is None or at < last:
            columns = self._run_block(block)
            origin = block * _BLOCK
            block_end = origin + _BLOCK if last is None else min(origin + _BLOCK, last)
            while at < block_end:
                stop = min(block_end, at + chunk_steps - held)
                rows = slice(at - origin, stop - origin)
                cut = {name: column[rows] for name, column in columns.items()}
                parts.append(Part(at, stop, cut))
                held += stop - at
                at = stop
                if held == chunk_steps or at == last:
                    yield self._assembler.chunk(
                        parts, with_current=first == parts[0][0]
                    )
                    parts, held = [], 0
            block += 1

    def _step_at(self, time: datetime) -> int:
        if time.tzinfo is None:
            raise UsageError(
                f"start and end need a zone, got {time.isoformat()}",
                remedy="use datetime.now(UTC) or append Z",
            )
        return -(-round(time.timestamp() * 1_000_000) // self.settings.interval_us)

    # Physics of one block; every array is (steps, servers) or (steps, services).

    def _run_block(self, block: int) -> dict[str, Array]:
        fleet, first = self.fleet, block * _BLOCK
        time = (first + np.arange(_BLOCK)) * self.settings.interval_us
        active = self.schedule.between(first, first + _BLOCK)
        noise = self._draw_server_noise(block)

        def strike(quantity: str, x: Array, limit: Any = 0.0) -> None:
            self._strike(active, first, quantity, x, limit)

        demand = fleet.demand(time) * self._drift("load", time)
        demand *= 1 + 0.07 * noise["load_slow"] + 0.035 * noise["load_fast"]
        cpu = 100 * demand + 0.6 * noise["cpu"]
        np.clip(cpu, 1.0, 99.5, out=cpu)
        strike("cpu_usage", cpu, 100.0)
        load = cpu / 100
        busy = np.clip(demand, 0.01, 1.0)

        network = busy * fleet.network_share * fleet.network_scale * fleet.network_limit
        network *= np.exp(0.06 * noise["network"])
        network = np.minimum(network, 0.9 * fleet.network_limit)
        strike("network_gbps", network, fleet.network_limit)

        disk = busy * fleet.disk_demand * fleet.disk_scale
        disk *= np.exp(0.12 * noise["disk"])
        disk = np.minimum(disk, 0.9 * fleet.disk_limit)
        strike("disk_io_mbps", disk, fleet.disk_limit)

        memory = self._memory.follow(fleet.memory_slope * busy)
        memory += fleet.memory_base + fleet.memory_offset + 0.8 * noise["memory"]
        np.clip(memory, 1.0, 97.0, out=memory)
        strike("memory_usage", memory, 100.0)

        span = fleet.max_kw - fleet.idle_kw
        package = fleet.idle_kw + span * load**fleet.exponent
        package += 0.05 * span * network / fleet.network_limit
        package *= 1 + 0.008 * noise["power"]
        strike("power_kw", package)
        temperature = self._heat.follow(
            self._inlet(block, time, strike) + 11.0 * package + 13.0 * load
        )
        temperature = temperature + 0.25 * noise["temperature_reading"]
        # What the wall sees: losses of the supply heat the room, not the package.
        power = package * self._drift("power_curve", time)
        power *= 1 + 0.006 * noise["power_reading"]

        return {
            "cpu_usage": _bounded(cpu, 0, 100, 2),
            "temperature": _bounded(temperature, -50, 200, 2),
            "power_kw": _bounded(power, 0, 100, 4),
            "network_gbps": _bounded(network, 0, 1600, 4),
            "memory_usage": _bounded(memory, 0, 100, 2),
            "disk_io_mbps": _bounded(disk, 0, 1e6, 2),
            **self._services_block(block, busy, load, strike),
        }

    def _inlet(
        self, block: int, time: NDArray[np.int64], strike: Callable[..., None]
    ) -> Array:
        hour = time / 3_600_000_000
        outside = 21.5 + 2.0 * np.cos((2 * np.pi / 24) * (hour - 15.5))
        white = generator(
            self.settings.seed, Stream.COOLING, self.settings.interval_us, block
        )
        room = self._cooling_noise.filter(white.standard_normal((_BLOCK, 1)))[:, 0]
        inlet: Array = (outside + 0.4 * room)[:, None] + self.fleet.inlet_offset
        inlet += self._drift("ambient", time)
        strike("inlet_temperature", inlet)
        return inlet

    def _services_block(
        self, block: int, busy: Array, load: Array, strike: Callable[..., None]
    ) -> dict[str, Array]:
        count, host = len(self.fleet.services), self.fleet.service_server
        white = self._draw(Stream.SERVICES, block, count, len(_SERVICE_NOISE))
        series = self._service_noise.filter(white)
        noise = dict(zip(_SERVICE_NOISE, _split(series, count), strict=True))
        capacity, idle_ms, calm = self._service_parameters
        utilisation = np.minimum(load, 0.95)[:, host]

        requests = capacity * busy[:, host] * np.exp(0.05 * noise["requests"])
        strike("request_rate", requests)
        latency = idle_ms * (1 + 1.2 * utilisation / (1 - utilisation))
        latency *= np.exp(0.06 * noise["latency"])
        strike("latency_p95_ms", latency)
        errors = calm * np.exp(0.2 * noise["errors"])
        errors += 0.4 * np.maximum(utilisation - 0.88, 0.0)
        strike("error_rate", errors)
        return {
            "request_rate": _bounded(requests, 0, 1e7, 2),
            "latency_p95_ms": _bounded(latency, 0, 3.6e6, 2),
            "error_rate": _bounded(errors, 0, 1, 5),
        }

    def _strike(
        self,
        active: Iterable[Occurrence],
        first: int,
        quantity: str,
        x: Array,
        limit: float | Array,
    ) -> None:
        for item in active:
            for effect in item.kind.effects:
                begin = max(item.onset - first, 0)
                stop = min(item.cause_end - first, _BLOCK)
                if effect.quantity != quantity or begin >= stop:
                    continue
                steps = np.arange(first + begin, first + stop)
                progress = (steps - item.onset) / (item.cause_end - item.onset)
                strength = item.severity * item.kind.envelope(progress)
                for column in self._struck(item, quantity, effect.only_its_service):
                    bound = limit if isinstance(limit, float) else limit[column]
                    part = x[begin:stop, column]
                    x[begin:stop, column] = effect.apply(part, strength, bound)

    def _struck(self, item: Occurrence, quantity: str, alone: bool) -> list[int]:
        if quantity not in _SERVICE_FIELDS:
            return [item.server]
        if alone and item.instance is not None:
            return [item.instance]
        return [int(at) for at in self.fleet.instances_of(item.server)]

    def _drift(self, name: str, time: NDArray[np.int64]) -> Array:
        for drift in self.settings.drifts:
            if drift.name == name:
                return drift.values(time)[:, None]
        return np.full((1, 1), DRIFTS[name][1])

    def _draw_server_noise(self, block: int) -> dict[str, Array]:
        count, lagged = len(self.fleet), len(_SERVER_NOISE)
        white = self._draw(Stream.SERVERS, block, count, lagged + len(_SERVER_WHITE))
        series = self._server_noise.filter(white[:, : lagged * count])
        parts = [*_split(series, count), *_split(white[:, lagged * count :], count)]
        return dict(zip((*_SERVER_NOISE, *_SERVER_WHITE), parts, strict=True))

    def _draw(self, stream: Stream, block: int, count: int, kinds: int) -> Array:
        random = generator(self.settings.seed, stream, self.settings.interval_us, block)
        # Drawn member by member, so that a larger fleet leaves the first ones alone.
        drawn = random.standard_normal((count, kinds, _BLOCK))
        return np.ascontiguousarray(drawn.transpose(2, 1, 0)).reshape(_BLOCK, -1)


def _split(series: Array, count: int) -> list[Array]:
    return [series[:, at : at + count] for at in range(0, series.shape[1], count)]


def _bounded(x: Array, low: float, high: float, decimals: int) -> Array:
    return np.clip(x, low, high).round(decimals)
