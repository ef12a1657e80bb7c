"""What a datacenter does, step by step: load, power, heat, services."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.simulator._random import Stream, generator
from rtmlops_lib.simulator.drift import DRIFTS
from rtmlops_lib.simulator.fleet import Fleet
from rtmlops_lib.simulator.noise import AutoregressiveNoise, FirstOrderLag
from rtmlops_lib.simulator.schedule import AnomalySchedule, Occurrence
from rtmlops_lib.simulator.settings import SimulatorSettings
from rtmlops_lib.streams import builtin_specs

__all__ = ["BLOCK", "Physics"]

Array = NDArray[np.float64]

# Physics runs in blocks of this many steps on a grid fixed since 1970, whatever the
# chunks asked for: the same instants always meet the same random numbers.
BLOCK = 128
# Nothing slow moves within a second. Noise and lags of a finer sampling step live on
# a grid of about a second, with straight lines between, so that five hours of warm-up
# are 18,000 steps at the most. Readings still have errors of their own.
_LEAST_GRID_SECONDS = 1.0
_FINE_BLOCK = 32
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


class Physics:
    """Arrays of readings, block by block in the order of time.

    Every array is (steps, servers) or (steps, services).

    Parameters
    ----------
    settings : SimulatorSettings
    fleet : Fleet
    schedule : AnomalySchedule
    """

    def __init__(
        self, settings: SimulatorSettings, fleet: Fleet, schedule: AnomalySchedule
    ) -> None:
        self.settings = settings
        self.fleet = fleet
        self.schedule = schedule
        # Sampling steps in one of the grid's.
        self._parts = math.ceil(_LEAST_GRID_SECONDS / settings.interval_seconds)
        self._block = BLOCK if self._parts == 1 else _FINE_BLOCK
        self._service_parameters = np.array(
            [_SERVICES[name] for name in fleet.services.tolist()]
        ).T
        self._reset()

    def _reset(self) -> None:
        parts = self._parts
        step = self.settings.interval_seconds * parts
        servers, services = len(self.fleet), len(self.fleet.services)
        self._server_noise = AutoregressiveNoise(
            np.repeat(list(_SERVER_NOISE.values()), servers), step, parts
        )
        self._service_noise = AutoregressiveNoise(
            np.repeat(list(_SERVICE_NOISE.values()), services), step, parts
        )
        self._cooling_noise = AutoregressiveNoise(np.array([600.0]), step, parts)
        self._memory = FirstOrderLag(_MEMORY_SECONDS, step, parts)
        self._heat = FirstOrderLag(_HEAT_SECONDS, step, parts)

    def warm_up_blocks(self, step: int) -> range:
        """Return the blocks to warm up with, before the one that holds ``step``."""
        # A point of the grid comes after the steps that lead up to it.
        point = -(-step // self._parts)
        grid_seconds = self.settings.interval_seconds * self._parts
        cold = max(0, point - int(_WARM_UP_SECONDS / grid_seconds))
        return range(cold // self._block, point // self._block)

    def warm_up(self, block: int) -> None:
        """Let noise, memory and heat live through a block that nobody asked for."""
        self._advance(block, whole=True)

    def run(self, block: int) -> tuple[NDArray[np.int64], dict[str, Array]]:
        """Return the block's steps, and its readings by name of the field."""
        return self._advance(block, whole=False)

    def _advance(
        self, block: int, *, whole: bool
    ) -> tuple[NDArray[np.int64], dict[str, Array]]:
        """Go on by a block; if ``whole``, by the grid's steps and without readings."""
        fleet = self.fleet
        points = (block * self._block + np.arange(self._block)) * self._parts
        steps = points
        if not whole:
            steps = np.arange(points[0] - self._parts + 1, points[-1] + 1)
        time = steps * self.settings.interval_us
        active = self.schedule.between(int(steps[0]), int(steps[-1]) + 1)
        noise = self._draw_server_noise(block, whole)

        def strike(quantity: str, x: Array, limit: Any = 0.0) -> None:
            self._strike(active, steps, quantity, x, limit)

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

        memory = self._memory.follow(fleet.memory_slope * busy, whole=whole)
        memory += fleet.memory_base + fleet.memory_offset + 0.8 * noise["memory"]
        np.clip(memory, 1.0, 97.0, out=memory)
        strike("memory_usage", memory, 100.0)

        span = fleet.max_kw - fleet.idle_kw
        package = fleet.idle_kw + span * load**fleet.exponent
        package += 0.05 * span * network / fleet.network_limit
        package *= 1 + 0.008 * noise["power"]
        strike("power_kw", package)
        warmth = self._inlet(block, time, whole, strike) + 11.0 * package + 13.0 * load
        temperature = self._heat.follow(warmth, whole=whole)
        service_noise = self._draw_service_noise(block, whole)
        if whole:
            return steps, {}
        temperature = temperature + 0.25 * noise["temperature_reading"]
        # What the wall sees: losses of the supply heat the room, not the package.
        power = package * self._drift("power_curve", time)
        power *= 1 + 0.006 * noise["power_reading"]

        return steps, {
            "cpu_usage": _bounded(cpu, 0, 100, 2),
            "temperature": _bounded(temperature, -50, 200, 2),
            "power_kw": _bounded(power, 0, 100, 4),
            "network_gbps": _bounded(network, 0, 1600, 4),
            "memory_usage": _bounded(memory, 0, 100, 2),
            "disk_io_mbps": _bounded(disk, 0, 1e6, 2),
            **self._services_block(service_noise, busy, load, strike),
        }

    def _inlet(
        self,
        block: int,
        time: NDArray[np.int64],
        whole: bool,
        strike: Callable[..., None],
    ) -> Array:
        hour = time / 3_600_000_000
        outside = 21.5 + 2.0 * np.cos((2 * np.pi / 24) * (hour - 15.5))
        random = generator(
            self.settings.seed, Stream.COOLING, self.settings.interval_us, block
        )
        white = random.standard_normal((self._block, 1))
        room = self._cooling_noise.filter(white, whole=whole)[:, 0]
        inlet: Array = (outside + 0.4 * room)[:, None] + self.fleet.inlet_offset
        inlet += self._drift("ambient", time)
        strike("inlet_temperature", inlet)
        return inlet

    def _services_block(
        self,
        noise: dict[str, Array],
        busy: Array,
        load: Array,
        strike: Callable[..., None],
    ) -> dict[str, Array]:
        host = self.fleet.service_server
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
        steps: NDArray[np.int64],
        quantity: str,
        x: Array,
        limit: float | Array,
    ) -> None:
        for item in active:
            for effect in item.kind.effects:
                if effect.quantity != quantity:
                    continue
                begin, stop = np.searchsorted(steps, (item.onset, item.cause_end))
                acting = steps[begin:stop] - item.onset
                progress = acting / (item.cause_end - item.onset)
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

    def _draw_server_noise(self, block: int, whole: bool) -> dict[str, Array]:
        count, lagged = len(self.fleet), len(_SERVER_NOISE)
        white = self._draw(Stream.SERVERS, block, count, lagged + len(_SERVER_WHITE))
        series = self._server_noise.filter(white[:, : lagged * count], whole=whole)
        errors = white[:, lagged * count :]
        if not whole and self._parts > 1:
            # Each reading has errors of its own, also between points of the grid.
            steps = self._block * self._parts
            kinds = len(_SERVER_WHITE)
            between = self._draw(Stream.READINGS, block, count, kinds, steps)
            between[self._parts - 1 :: self._parts] = errors
            errors = between
        parts = [*_split(series, count), *_split(errors, count)]
        return dict(zip((*_SERVER_NOISE, *_SERVER_WHITE), parts, strict=True))

    def _draw_service_noise(self, block: int, whole: bool) -> dict[str, Array]:
        count = len(self.fleet.services)
        white = self._draw(Stream.SERVICES, block, count, len(_SERVICE_NOISE))
        series = self._service_noise.filter(white, whole=whole)
        return dict(zip(_SERVICE_NOISE, _split(series, count), strict=True))

    def _draw(
        self,
        stream: Stream,
        block: int,
        count: int,
        kinds: int,
        steps: int | None = None,
    ) -> Array:
        steps = self._block if steps is None else steps
        random = generator(self.settings.seed, stream, self.settings.interval_us, block)
        # Drawn member by member, so that a larger fleet leaves the first ones alone.
        drawn = random.standard_normal((count, kinds, steps))
        return np.ascontiguousarray(drawn.transpose(2, 1, 0)).reshape(steps, -1)


def _split(series: Array, count: int) -> list[Array]:
    return [series[:, at : at + count] for at in range(0, series.shape[1], count)]


def _bounded(x: Array, low: float, high: float, decimals: int) -> Array:
    return np.clip(x, low, high).round(decimals)
