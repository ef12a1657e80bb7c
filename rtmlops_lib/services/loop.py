"""The one consume loop: poll, decode, write, in that order of trust.

Two threads: the loop's polls, decodes and keeps the membership; the writer's does
one database call at a time. While the writer waits for the database, the loop fills
the next batch. Nothing is ever committed to Kafka that the store has not accepted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from rtmlops_lib.errors import ConfigurationFault, DependencyUnavailable
from rtmlops_lib.logs import get_logger
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.services.backoff import CONFIGURATION_RETRY_SECONDS, Backoff
from rtmlops_lib.services.cadence import Cadence
from rtmlops_lib.services.handler import Handler, LetterSink
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.housekeeping import Housekeeping
from rtmlops_lib.services.idle import IdleClock, IdleVerdict
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.pipeline import Pipeline
from rtmlops_lib.services.report import Report
from rtmlops_lib.store import Store
from rtmlops_lib.streams import StreamSpec
from rtmlops_lib.transport import EventConsumer, TransportUnavailable

__all__ = ["ConsumeLoop"]

log = get_logger(__name__)

# A broker that is back shall not wait long for us to notice.
KAFKA_BACKOFF_CAP_SECONDS = 2.0
# SIGTERM must be answered within 10 s. The last write may take 7 of them, the call to
# Kafka under way included; then up to 2 are needed to leave the group, and up to 2 of
# the 7 went to the last commit, which is not begun any later than this.
LAST_WRITE_SECONDS = 7.0
LAST_COMMIT_SECONDS = 5.0


class ConsumeLoop:
    """Runs one consuming service until it is told to stop.

    Parameters
    ----------
    group : str
        Consumer group.
    specs : sequence of StreamSpec
        What is read; one topic each.
    open_consumer : callable
        Returns a new consumer of these topics in this group.
    store : Store
        Used on the writer thread only.
    handler : Handler
        What the service makes of the events.
    sink : LetterSink, optional
        Where dead letters go; without one they are counted only.
    metrics : ServiceMetrics
    health : Health
    options : LoopOptions

    Notes
    -----
    Taught in chapter 04.
    """

    def __init__(
        self,
        *,
        group: str,
        specs: Sequence[StreamSpec],
        open_consumer: Callable[[], EventConsumer],
        store: Store,
        handler: Handler,
        metrics: ServiceMetrics,
        health: Health,
        sink: LetterSink | None = None,
        options: LoopOptions | None = None,
    ) -> None:
        self.options = options = LoopOptions() if options is None else options
        self._open_consumer = open_consumer
        self._sink = sink
        self._health = health
        self._report = Report(metrics, health, letters=sink is not None)
        self._stop = threading.Event()
        self._stop_asked = 0.0
        self._consumer: EventConsumer | None = None
        cadence = Cadence()
        self._pipeline = Pipeline(
            group=group,
            specs=specs,
            store=store,
            handler=handler,
            sink=sink,
            report=self._report,
            cadence=cadence,
            options=options,
        )
        self._housekeeping = Housekeeping(
            topics=[spec.topic for spec in specs],
            pipeline=self._pipeline,
            report=self._report,
            cadence=cadence,
        )
        self._kafka_backoff = Backoff(cap=KAFKA_BACKOFF_CAP_SECONDS)
        self._idle = (
            None
            if options.until_idle is None
            else IdleClock(options.until_idle, options.max_wait)
        )

    def stop(self) -> None:
        """Ask the loop to finish what is in hand and return; from any thread."""
        if not self._stop.is_set():
            self._stop_asked = time.monotonic()
            self._stop.set()

    def run(self) -> int:
        """Consume until stopped or idle; return the exit code.

        Raises
        ------
        MemberFenced
            When another member took this one's static identity.
        """
        gave_up = None
        try:
            while not self._stop.is_set() and gave_up is None:
                self._health.beat()
                try:
                    self._tick()
                except ConfigurationFault as fault:
                    self._start_over(fault)
                except TransportUnavailable as fault:
                    self._report.fault("kafka", fault)
                    # Asked again before the next turn may say that Kafka is back.
                    self._housekeeping.ask_anew()
                    self._stop.wait(self._kafka_backoff.next())
                self._report.readiness(self._pipeline.owned)
                gave_up = self._idle_verdict()
            return self._finish(gave_up)
        finally:
            self._close()

    def _tick(self) -> None:
        if self._consumer is None:
            self._consumer = self._open_consumer()
        consumer = self._consumer
        self._pipeline.turn(consumer)
        for work in (
            self._pipeline.give_work,
            self._housekeeping.check_topics,
            self._housekeeping.commit,
            self._housekeeping.report_lag,
        ):
            # Each may wait for Kafka as long as a stop may take altogether.
            if self._stop.is_set():
                return
            work(consumer)
        self._report.clear("kafka")
        self._kafka_backoff.reset()

    def _start_over(self, fault: ConfigurationFault) -> None:
        """Wait, then open a new client: this one may be beyond repair."""
        self._report.fault("kafka", fault)
        self._pipeline.drop_all()
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._report.readiness(self._pipeline.owned)
        deadline = time.monotonic() + CONFIGURATION_RETRY_SECONDS
        while not self._stop.is_set() and time.monotonic() < deadline:
            self._health.beat()
            self._stop.wait(0.5)

    def _finish(self, gave_up: str | None) -> int:
        """Write what is in hand, tell Kafka, leave; 0 when all of that worked."""
        asked = self._stop_asked or time.monotonic()
        written = self._pipeline.finish(self._consumer, asked + LAST_WRITE_SECONDS)
        early = time.monotonic() < asked + LAST_COMMIT_SECONDS
        answering = "kafka" not in self._report.faults and early
        if self._consumer is not None and answering and written:
            self._housekeeping.last_commit(self._consumer)
        if gave_up is None and written:
            return 0
        # The law still holds: offsets did not move, the next member reads on.
        log.error(
            "stopped_early",
            reason=gave_up,
            unwritten=not written,
            faults=self._report.faults,
        )
        return DependencyUnavailable.exit_code

    def _close(self) -> None:
        self._pipeline.close()
        self._report.unready()
        try:
            if self._consumer is not None:
                self._consumer.close()
        finally:
            if self._sink is not None:
                self._sink.close()

    def _not_idle(self) -> str | None:
        """Return why the end is not reached, None when it is."""
        if not self._pipeline.settled:
            return "the consumer group has not settled"
        if self._pipeline.in_hand:
            return "; ".join(self._report.faults.values()) or "records are in hand"
        return self._report.unfinished(self._pipeline.owned)

    def _idle_verdict(self) -> str | None:
        """Stop the loop when idle; return the reason when waiting was in vain."""
        if self._idle is None:
            return None
        why_not = self._not_idle()
        verdict = self._idle.update(
            time.monotonic(),
            idle=why_not is None,
            progress=self._pipeline.progressed(),
        )
        if verdict is IdleVerdict.IDLE:
            self.stop()
        if verdict is IdleVerdict.GAVE_UP:
            return f"no end after {self._idle.max_wait:g} s: {why_not}"
        return None
