"""A simulated datacenter whose time passes only while somebody watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator import DatacenterSimulator, Drift, SimulatedChunk
from rtmlops_lib.streams import JsonCodec, StreamSpec
from rtmlops_lib.teaching.check import LessonStopped
from rtmlops_lib.teaching.history import History
from rtmlops_lib.teaching.progress import live_progress
from rtmlops_lib.transport import EventProducer

__all__ = ["World"]

_STEP = timedelta(minutes=15)


class World:
    """Goes on where a history ends, with the same fleet and seed, and can change.

    Between two calls of ``play`` its time stands still: however long one reads on,
    the next event follows the last.

    Parameters
    ----------
    history : History
        What was before; a quarter of an hour must be a number of its steps.
    producer : EventProducer
    specs : sequence of StreamSpec
        The streams to send, with the topics to send them to.
    seconds_an_hour : float
        How long an hour of its time takes by the clock, at least.

    Raises
    ------
    UsageError
        For steps that do not divide a quarter of an hour.

    Notes
    -----
    Taught in chapter 10.
    """

    def __init__(
        self,
        history: History,
        producer: EventProducer,
        specs: Sequence[StreamSpec],
        *,
        seconds_an_hour: float = 1.0,
    ) -> None:
        steps = _STEP.total_seconds() / history.interval_seconds
        if steps < 1 or steps != round(steps):
            raise UsageError(
                f"a quarter of an hour is no number of steps of "
                f"{history.interval_seconds:g} s",
                remedy="choose a step such as 60, 180, 300 or 900 s",
            )
        self.now = history.end
        self.sent = 0
        self._steps = round(steps)
        self._settings = history.simulator().settings
        self._producer = producer
        self._codecs = {spec.name: (spec.topic, JsonCodec(spec)) for spec in specs}
        self._pace = seconds_an_hour
        self._drifts: Mapping[str, Drift] = {}
        self._chunks: Iterator[SimulatedChunk] | None = None

    def change(self, name: str, value: float) -> datetime:
        """Let the world be another from the next event on; return that moment."""
        self._drifts = {**self._drifts, name: Drift(name, value, self.now)}
        self._chunks = None
        return self.now

    def play(
        self,
        hours: float,
        *,
        until: Callable[[], object] | None = None,
        what: str = "it",
    ) -> None:
        """Let so many hours pass, fewer once ``until`` is true.

        Parameters
        ----------
        hours : float
            In quarters; at most so many with ``until``.
        until : callable, optional
            Asked after each quarter of an hour.
        what : str
            What is waited for, for the message.

        Raises
        ------
        LessonStopped
            When the hours are over and ``until`` was not true.
        """
        begun, first = time.monotonic(), self.now
        end = first + timedelta(hours=hours)
        with live_progress("events") as progress:
            while self.now < end:
                progress.add(self.step())
                passed = (self.now - first) / timedelta(hours=1)
                progress.what = f"events, {passed:g} simulated hours,"
                if until is not None and until():
                    return
                ahead = begun + passed * self._pace - time.monotonic()
                time.sleep(max(0.0, ahead))
        if until is not None:
            raise LessonStopped(
                f"{hours:g} simulated hours passed, and {what} did not happen",
                remedy="the services' logs say why; their folder is lab.folder",
            )

    def step(self) -> int:
        """Let a quarter of an hour pass at once; return how many events it had."""
        before = self.sent
        chunk = next(self._chunks or self._begin())
        for batch in (chunk.labels, chunk.datacenter, chunk.services):
            if batch.spec.name not in self._codecs or not len(batch):
                continue
            topic, codec = self._codecs[batch.spec.name]
            for key, value in zip(*codec.encode(batch), strict=True):
                self._producer.send(topic, value, key=key)
            self.sent += len(batch)
        self._producer.flush()
        self.now += _STEP
        return self.sent - before

    def _begin(self) -> Iterator[SimulatedChunk]:
        settings = replace(self._settings, drifts=tuple(self._drifts.values()))
        simulator = DatacenterSimulator(settings)
        self._chunks = simulator.chunks(self.now, chunk_steps=self._steps)
        return self._chunks
