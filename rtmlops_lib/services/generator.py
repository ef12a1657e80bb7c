"""Sends what the simulator yields: live at a steady rate, or as a backfill."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from types import FrameType
from typing import Protocol

import numpy as np

from rtmlops_lib.logs import get_logger
from rtmlops_lib.services.generator_plan import LivePlan
from rtmlops_lib.services.generator_summary import GenerationSummary
from rtmlops_lib.simulator import DatacenterSimulator, SimulatedChunk
from rtmlops_lib.store import Written
from rtmlops_lib.streams import ColumnBatch, JsonCodec, StreamSpec
from rtmlops_lib.transport import EventProducer

__all__ = ["BackfillStore", "Generator", "stop_on_signals"]

log = get_logger(__name__)

# Encoding this much ahead keeps a tick short and the codec's fixed costs small.
_AHEAD_SECONDS = 0.2
_MAX_AHEAD_EVENTS = 2_000
_TICK_SECONDS = 0.01
# Stop, end and lateness are looked at between passes of this many events.
_PASS_EVENTS = 250
# Late by more than this is no hiccup: the rate cannot be held.
_LATE_SECONDS = 2.0
_END_GRACE_SECONDS = 0.5
# A broker that is away is noticed within this time; the flush itself takes
# milliseconds.
_LIVE_FLUSH_SECONDS = 1.0
_BACKFILL_EVENTS = 5_000
_BACKFILL_FLUSH_EVENTS = 200_000
# A transaction's worth.
_DIRECT_EVENTS = 20_000


class BackfillStore(Protocol):
    """The part of a store that ``--direct`` needs."""

    def backfill(self, batches: Iterable[ColumnBatch]) -> Written:
        """Store events that never were in Kafka; few chunks a transaction."""


@dataclass(slots=True)
class _Outbox:
    """Encoded events of one stream of one chunk, sent bit by bit."""

    batch: ColumnBatch
    topic: str
    readings: int  # server readings in the chunk, which set the pace
    keys: list[bytes]
    values: list[bytes]
    sent: int = 0

    def send_up_to(self, count: int, producer: EventProducer) -> None:
        for row in range(self.sent, count):
            producer.send(self.topic, self.values[row], key=self.keys[row])
        self.sent = max(self.sent, count)


class Generator:
    """Drives a simulator into Kafka or a store.

    Parameters
    ----------
    simulator : DatacenterSimulator
    specs : sequence of StreamSpec
        The streams to send, with the topics to send them to.
    stop : Event, optional
        Set it to end a run early; what was sent is flushed.
    """

    def __init__(
        self,
        simulator: DatacenterSimulator,
        specs: Sequence[StreamSpec],
        *,
        stop: Event | None = None,
    ) -> None:
        self.simulator = simulator
        self.specs = {spec.name: spec for spec in specs}
        self.stop = Event() if stop is None else stop
        self._codecs = {name: JsonCodec(spec) for name, spec in self.specs.items()}

    def live(
        self,
        producer: EventProducer,
        plan: LivePlan,
        start: datetime,
        *,
        progress: Callable[[int], None] = lambda _: None,
        warming: Callable[[float], None] = lambda _: None,
    ) -> GenerationSummary:
        """Send at the plan's rate until its duration is over.

        Every event has a deadline on the monotonic clock, so a late tick is made up
        for and the rate does not creep. Events of one step are spread over the time
        the step takes.

        Parameters
        ----------
        producer : EventProducer
        plan : LivePlan
        start : datetime
            Time of the first event.
        progress : callable
            Told the server readings sent so far.
        warming : callable
            Told which share of the simulator's warm-up is done.
        """
        summary = GenerationSummary("live", rate_asked=plan.rate)
        ahead = min(plan.rate * _AHEAD_SECONDS, _MAX_AHEAD_EVENTS)
        chunks = self.simulator.chunks(
            start,
            chunk_steps=max(1, int(ahead / plan.servers)),
            warming=self._unless_stopped(warming),
        )
        # Before the clock starts: the simulator warms up, and the client learns the
        # topics' leaders, with the first event.
        chunk = next(chunks, None)
        if chunk is None:
            return summary
        outboxes = self._encode(chunk)
        done, here = 0, 1
        _send_share(outboxes, here, producer)
        producer.flush()
        clock = _Clock(plan.rate)
        flush_at = _LIVE_FLUSH_SECONDS
        while True:
            total = len(chunk.datacenter)
            while here < total and not self._over(clock, plan, done + here):
                due = min(clock.due(), plan.events or clock.due()) - done
                here = min(total, max(here, due), here + _PASS_EVENTS)
                _send_share(outboxes, here, producer)
                if clock.elapsed() >= flush_at:
                    producer.flush()
                    flush_at = clock.elapsed() + _LIVE_FLUSH_SECONDS
                self._watch(clock, summary, plan, done + here)
                progress(done + here)
                if here < total:
                    clock.wait_for(done + here, self.stop)
            for box in outboxes:
                summary.count(box.batch.take(np.arange(box.sent)))
            done += here
            if self._over(clock, plan, done):
                break
            chunk, here = next(chunks), 0
            outboxes = self._encode(chunk)
        clock.wait_until(plan.duration_seconds, self.stop)
        producer.flush()
        summary.seconds = clock.elapsed()
        if plan.events is not None and not self.stop.is_set():
            summary.kept_up = done >= plan.events * 0.98
        return summary

    def backfill(
        self,
        producer: EventProducer,
        start: datetime,
        end: datetime,
        *,
        progress: Callable[[int], None] = lambda _: None,
        warming: Callable[[float], None] = lambda _: None,
    ) -> GenerationSummary:
        """Send ``start <= time < end`` as fast as Kafka takes it."""
        summary = GenerationSummary("backfill")
        began, unflushed = time.monotonic(), 0
        for chunk in self._backfill_chunks(start, end, _BACKFILL_EVENTS, warming):
            for box in self._encode(chunk):
                box.send_up_to(len(box.values), producer)
                summary.count(box.batch)
                unflushed += box.sent
            if unflushed >= _BACKFILL_FLUSH_EVENTS:
                producer.flush(60.0)
                unflushed = 0
            progress(chunk.steps)
        producer.flush(60.0)
        summary.seconds = time.monotonic() - began
        return summary

    def direct(
        self,
        store: BackfillStore,
        start: datetime,
        end: datetime,
        *,
        progress: Callable[[int], None] = lambda _: None,
        warming: Callable[[float], None] = lambda _: None,
    ) -> GenerationSummary:
        """Store ``start <= time < end`` without Kafka."""
        summary = GenerationSummary("direct")
        began = time.monotonic()

        def batches() -> Iterator[ColumnBatch]:
            for chunk in self._backfill_chunks(start, end, _DIRECT_EVENTS, warming):
                for batch in self._chosen(chunk):
                    yield batch
                    summary.count(batch)
                progress(chunk.steps)

        written = store.backfill(batches())
        summary.seconds = time.monotonic() - began
        summary.duplicates = sum(written.duplicates.values())
        summary.refused = len(written.refused)
        return summary

    def _backfill_chunks(
        self,
        start: datetime,
        end: datetime,
        events: int,
        warming: Callable[[float], None],
    ) -> Iterator[SimulatedChunk]:
        for chunk in self.simulator.chunks(
            start,
            end,
            chunk_steps=max(1, events // self.simulator.settings.servers),
            warming=self._unless_stopped(warming),
        ):
            if self.stop.is_set():
                return
            yield chunk

    def _unless_stopped(
        self, warming: Callable[[float], None]
    ) -> Callable[[float], bool]:
        def go_on(share: float) -> bool:
            warming(share)
            return not self.stop.is_set()

        return go_on

    def _chosen(self, chunk: SimulatedChunk) -> Iterator[ColumnBatch]:
        for batch in (chunk.labels, chunk.datacenter, chunk.services):
            if batch.spec.name in self.specs and len(batch):
                yield batch

    def _encode(self, chunk: SimulatedChunk) -> list[_Outbox]:
        return [
            _Outbox(
                batch,
                self.specs[batch.spec.name].topic,
                len(chunk.datacenter),
                *self._codecs[batch.spec.name].encode(batch),
            )
            for batch in self._chosen(chunk)
        ]

    def _over(self, clock: _Clock, plan: LivePlan, sent: int) -> bool:
        if self.stop.is_set():
            return True
        if plan.events is None:
            return False
        # A late tick may still send the last event, a run that cannot keep up ends
        # all the same.
        late_end = plan.duration_seconds + _END_GRACE_SECONDS
        return sent >= plan.events or clock.elapsed() > late_end

    @staticmethod
    def _watch(
        clock: _Clock, summary: GenerationSummary, plan: LivePlan, sent: int
    ) -> None:
        late = clock.elapsed() - sent / plan.rate
        if summary.kept_up and late > _LATE_SECONDS:
            summary.kept_up = False
            log.warning(
                "generator_behind",
                rate_asked=round(plan.rate, 2),
                rate=round(sent / clock.elapsed(), 2),
                late_seconds=round(late, 2),
                remedy="lower --rate or --speed, or try --client confluent",
            )


def _send_share(outboxes: list[_Outbox], here: int, producer: EventProducer) -> None:
    """Send each stream's part of the first ``here`` server readings of a chunk.

    Labels go at once: there are few, and they are true from their onset on.
    """
    for box in outboxes:
        share = here if box.batch.spec.name != "labels" else box.readings
        box.send_up_to(-(-len(box.values) * share // box.readings), producer)


class _Clock:
    """When which event is due, on the monotonic clock; the first is as it starts."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._began = time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def due(self) -> int:
        """Return how many events are due by now."""
        return 1 + int(self.elapsed() * self._rate)

    def wait_for(self, sent: int, stop: Event) -> None:
        """Wait until the next event is due, and at least a tick; a stop ends it."""
        left = sent / self._rate - self.elapsed()
        if left > 0:
            stop.wait(min(max(left, _TICK_SECONDS), 0.5))

    def wait_until(self, seconds: float, stop: Event) -> None:
        """Wait until the clock stands at ``seconds``; a stop ends it."""
        while (left := seconds - self.elapsed()) > 0 and not stop.is_set():
            stop.wait(left)


@contextmanager
def stop_on_signals(stop: Event) -> Iterator[list[int]]:
    """Set ``stop`` on SIGINT and SIGTERM; yields the list of those received.

    The former handlers come back afterwards. A second SIGINT is the usual one.
    """
    received: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        received.append(number)
        stop.set()

    former = {
        number: signal.signal(number, on_signal)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
