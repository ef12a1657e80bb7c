"""The datacenter: physics of servers and services, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator._assemble import Assembler, Part
from rtmlops_lib.simulator._physics import BLOCK, Physics
from rtmlops_lib.simulator.chunk import SimulatedChunk
from rtmlops_lib.simulator.fleet import Fleet
from rtmlops_lib.simulator.schedule import AnomalySchedule
from rtmlops_lib.simulator.settings import SimulatorSettings

__all__ = ["DatacenterSimulator"]


class DatacenterSimulator:
    r"""A fleet of servers and services, seeded, as columns.

    Each step: demand (day, week, autocorrelated noise) → CPU → package power by the
    generation's curve → temperature, a first-order lag of power and load over the
    inlet air → readings; services follow their server's CPU as a queue does
    (:math:`1 / (1 - \rho)`). Anomalies act on causes and physics carries them on.

    An event depends on the settings and its own time only: not on the chunks asked
    for, nor on where a run begins, nor (for the first servers) on the fleet's size.
    Overlapping runs with the same settings therefore repeat the same events.

    A run first warms up: noise and heat remember, so the five hours before its start
    are worked out too, though nothing of them is yielded.

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

    def steps(self, start: datetime, end: datetime) -> int:
        """Return how many sampling steps lie in ``start <= time < end``."""
        return max(0, self._step_at(end) - self._step_at(start))

    def chunks(
        self,
        start: datetime,
        end: datetime | None = None,
        *,
        chunk_steps: int = BLOCK,
        warming: Callable[[float], bool] = lambda _: True,
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
        warming : callable
            Told, in the course of the warm-up, which share of it is done; returns
            whether to go on. Nothing is yielded after a no.

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
        return self._chunks(first, last, chunk_steps, warming)

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
        self,
        first: int,
        last: int | None,
        chunk_steps: int,
        warming: Callable[[float], bool],
    ) -> Iterator[SimulatedChunk]:
        physics = Physics(self.settings, self.fleet, self.schedule)
        cold = physics.warm_up_blocks(first)
        for done, block in enumerate(cold):
            if not warming(done / len(cold)):
                return
            physics.warm_up(block)
        block = cold.stop
        parts: list[Part] = []
        held, at = 0, first
        while last is None or at < last:
            steps, columns = physics.run(block)
            origin, block_end = int(steps[0]), int(steps[-1]) + 1
            if last is not None:
                block_end = min(block_end, last)
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
