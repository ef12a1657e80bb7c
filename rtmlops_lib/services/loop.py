"""The one consume loop: poll, decode, write, in that order of trust.

Two threads: the loop's polls, decodes and keeps the membership; the writer's does
one database call at a time. While the writer waits for the database, the loop fills
the next batch. Nothing is ever committed to Kafka that the store has not accepted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import cast

from rtmlops_lib.errors import ConfigurationFault, DependencyUnavailable
from rtmlops_lib.logs import get_logger
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.services.backoff import CONFIGURATION_RETRY_SECONDS, Backoff
from rtmlops_lib.services.cadence import Cadence
from rtmlops_lib.services.handler import Handler, LetterSink
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.idle import IdleClock, IdleVerdict
from rtmlops_lib.services.intake import Chunk, Intake
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.ownership import Ownership
from rtmlops_lib.services.prepared import Prepared
from rtmlops_lib.services.report import Report, offset_part, partition_names
from rtmlops_lib.services.tasks import ClaimTask, WriteTask
from rtmlops_lib.services.writer import Writer
from rtmlops_lib.store import Claim, Store, Written
from rtmlops_lib.streams import JsonCodec, StreamSpec, TopicPartition
from rtmlops_lib.transport import EventConsumer, Polled, TransportUnavailable

__all__ = ["ConsumeLoop"]

log = get_logger(__name__)

# How often the loop looks at what changes rarely, in seconds.
TOPIC_CHECK_SECONDS = 2.0
LAG_SECONDS = 1.0
KAFKA_COMMIT_SECONDS = 1.0
# Longest poll: how late, at worst, a finished write or a signal is noticed.
POLL_SECONDS = 0.1
# A poll that brings less has reached the log's end.
FEW_RECORDS = 100
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
        self._group = group
        self._specs = {spec.topic: spec for spec in specs}
        self._codecs = {spec.topic: JsonCodec(spec) for spec in specs}
        self._open_consumer = open_consumer
        self._handler = handler
        self._sink = sink
        self._health = health
        self._report = Report(metrics, health, letters=sink is not None)
        self._stop = threading.Event()
        self._stop_asked = 0.0
        self._consumer: EventConsumer | None = None
        self._owned = Ownership(group, options.start)
        self._intake = Intake(
            max_rows=options.batch_max_rows, max_seconds=options.batch_max_seconds
        )
        self._store = store
        self._writer = Writer(store, deadline_seconds=options.write_deadline_seconds)
        self._kafka_backoff = Backoff(cap=KAFKA_BACKOFF_CAP_SECONDS)
        self._to_commit: dict[TopicPartition, int] = {}
        self._cadence = Cadence()
        self._settled = False
        self._holding = False
        self._trickling = False
        self._progress = False
        self._idle = (
            None
            if options.until_idle is None
            else IdleClock(options.until_idle, options.max_wait)
        )

    # -- life ---------------------------------------------------------------------

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
                    for question in ("claim", "topics", "lag"):
                        self._cadence.now(question)
                    self._stop.wait(self._kafka_backoff.next())
                self._report.readiness(self._owned)
                gave_up = self._idle_verdict()
            return self._finish(gave_up)
        finally:
            self._close()

    def _tick(self) -> None:
        if self._consumer is None:
            self._consumer = self._open_consumer()
        consumer = self._consumer
        self._wait_for_room(consumer)
        if self._trickling and self._writer.running:
            # Rather than a poll that likely brings nothing, at some cost.
            self._settle(consumer, timeout=self._poll_seconds())
        polled = consumer.poll_batch(max(1, self._intake.room), self._poll_seconds())
        self._apply_membership(consumer, polled)
        self._take_in(polled)
        self._settle(consumer)
        for work in (
            self._give_work,
            self._check_topics,
            self._commit_to_kafka,
            self._report_lag,
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
        self._drop([owned.tp for owned in self._owned])
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._report.readiness(self._owned)
        deadline = time.monotonic() + CONFIGURATION_RETRY_SECONDS
        while not self._stop.is_set() and time.monotonic() < deadline:
            self._health.beat()
            self._stop.wait(0.5)

    def _finish(self, gave_up: str | None) -> int:
        """Write what is in hand, tell Kafka, leave; 0 when all of that worked."""
        asked = self._stop_asked or time.monotonic()
        deadline = asked + LAST_WRITE_SECONDS
        # Claims are of no use any more; what is in hand of claimed partitions is.
        self._drop([owned.tp for owned in self._owned.unclaimed])
        self._writer.deadline_seconds = min(
            self._writer.deadline_seconds, LAST_WRITE_SECONDS
        )
        while (left := deadline - time.monotonic()) > 0:
            self._settle(self._consumer, timeout=left)
            if not self._writer.busy:
                task = self._write_task()
                if task is None:
                    break
                self._writer.start(task)
            elif not self._writer.running:
                time.sleep(0.02)
                self._writer.pump()
        unwritten = self._writer.busy or self._intake.count > 0
        early = time.monotonic() < asked + LAST_COMMIT_SECONDS
        answering = "kafka" not in self._report.faults and early
        if self._consumer is not None and answering and not unwritten:
            self._cadence.now("commit")
            self._commit_to_kafka(self._consumer)
        if gave_up is None and not unwritten:
            return 0
        # The law still holds: offsets did not move, the next member reads on.
        log.error(
            "stopped_early",
            reason=gave_up,
            unwritten=unwritten,
            faults=self._report.faults,
        )
        return DependencyUnavailable.exit_code

    def _close(self) -> None:
        self._drop([owned.tp for owned in self._owned])
        self._writer.close()
        self._report.unready()
        try:
            if self._consumer is not None:
                self._consumer.close()
        finally:
            if self._sink is not None:
                self._sink.close()

    # -- membership ---------------------------------------------------------------

    def _apply_membership(self, consumer: EventConsumer, polled: Polled) -> None:
        self._settled |= polled.rebalanced
        gone = polled.revoked | polled.lost
        if gone:
            log.info("partitions_dropped", partitions=partition_names(gone))
            self._drop(gone)
        if polled.assigned:
            log.info("partitions_assigned", partitions=partition_names(polled.assigned))
            self._drop(self._owned.mine(polled.assigned))
            self._owned.add(polled.assigned)
            # A partition that waits for a human shall not keep these waiting.
            self._cadence.now("claim")
        outside = self._owned.mine(polled.out_of_range)
        if outside:
            log.warning("offset_out_of_range", partitions=partition_names(outside))
            self._reclaim(consumer, outside)

    def _drop(self, gone: Collection[TopicPartition]) -> None:
        """Forget everything of these partitions: rows, offsets, state, labels."""
        self._intake.drop(gone)
        self._writer.drop(gone)
        self._handler.dropped(gone)
        self._owned.remove(gone)
        for tp in gone:
            self._to_commit.pop(tp, None)
        self._report.forget(gone)

    def _reclaim(
        self, consumer: EventConsumer, partitions: Collection[TopicPartition]
    ) -> None:
        """Drop what we believe of partitions we still own; ask the store again."""
        mine = self._owned.mine(partitions)
        consumer.pause(mine)
        self._drop(mine)
        self._owned.add(mine)

    def _claimed(
        self,
        consumer: EventConsumer,
        task: ClaimTask,
        claims: Mapping[TopicPartition, Claim],
    ) -> None:
        mine = {o: t for o, t in task.wanted.items() if self._owned.holds(o)}
        if not mine:
            return
        ends = consumer.end_offsets([owned.tp for owned in mine])
        for owned, takeover in mine.items():
            tp, claim = owned.tp, claims[owned.tp]
            if claim.lost:
                self._report.lost(tp, claim.lost)
            if claim.next_offset > ends[tp]:
                self._above_end(tp, claim.next_offset, ends[tp])
                continue
            self._report.clear(offset_part(tp))
            owned.ref, owned.epoch = takeover.ref, claim.epoch
            owned.stored = owned.position = claim.next_offset
            consumer.seek(tp, claim.next_offset)
            if not self._holding:
                consumer.resume([tp])
            log.info(
                "reading_from",
                topic=tp.topic,
                part=tp.partition,
                offset=claim.next_offset,
            )

    def _above_end(self, tp: TopicPartition, stored: int, end: int) -> None:
        place = f"{tp.topic}/{tp.partition}"
        self._report.fault(
            offset_part(tp),
            ConfigurationFault(
                f"the stored offset {stored} of {place} lies above the log's end {end}",
                remedy="was the log restored from an older copy? stop the group and "
                f"run 'rtmlops offsets reset --group {self._group} --to latest'",
            ),
        )
        self._cadence.postpone("claim", CONFIGURATION_RETRY_SECONDS)

    # -- records ------------------------------------------------------------------

    def _take_in(self, polled: Polled) -> None:
        self._trickling = sum(map(len, polled.records)) < FEW_RECORDS
        for raw in polled.records:
            owned = self._owned.get(TopicPartition(raw.topic, raw.partition))
            if owned is None:
                continue  # dropped by what this very poll reported
            decoded = self._codecs[raw.topic].decode(raw)
            self._intake.add(Chunk(self._specs[raw.topic].name, raw, decoded))
            # The poll names no position where a rebalance begins meanwhile; rows must
            # never be written without a move that the store can refuse.
            owned.position = max(owned.position, raw.offsets[-1] + 1)
        for tp, position in polled.positions.items():
            owned = self._owned.get(tp)
            if owned is not None and position > owned.position:
                owned.position = position
                self._intake.touch()

    def _poll_seconds(self) -> float:
        writer = self._writer.due_in()
        if writer is not None:
            # Neither a claim nor a write could begin before.
            return min(POLL_SECONDS, writer)
        write = self._intake.due_in()
        soonest = POLL_SECONDS if write is None else min(POLL_SECONDS, write)
        if self._owned.unclaimed:
            soonest = min(soonest, self._cadence.due_in("claim"))
        return soonest

    def _wait_for_room(self, consumer: EventConsumer) -> None:
        """With a full batch in hand, let the writer finish before polling more."""
        if self._intake.room == 0 and self._writer.running and not self._holding:
            self._prepared()
            self._settle(consumer, timeout=0.5)
            self._give_work(consumer)
        full = self._intake.room == 0
        if full != self._holding:
            # The store is slow or away: pause, and let poll() keep the membership.
            self._holding = full
            change = consumer.pause if full else consumer.resume
            change([owned.tp for owned in self._owned.claimed])

    # -- writing ------------------------------------------------------------------

    def _give_work(self, consumer: EventConsumer) -> None:
        """Let the writer repeat its task, or give it the next one."""
        self._writer.pump()
        if self._writer.busy or self._writer.resting:
            return
        if self._owned.unclaimed and self._cadence.due("claim", 0.2):
            claim = self._owned.claim_task(consumer)
            if claim is not None:
                self._writer.start(claim)
                return
        due = self._intake.due_in()
        if due == 0.0:
            task = self._write_task()
            if task is not None:
                self._writer.start(task)

    def _write_task(self) -> WriteTask | None:
        prepared = self._prepared()
        chunks, since = self._intake.take()
        moves = {
            owned: owned.move_to(owned.position)
            for owned in self._owned.claimed
            if owned.position > owned.stored
        }
        if not moves:
            return None
        return WriteTask(
            group=self._group,
            chunks=chunks,
            prepared=prepared,
            moves=moves,
            sink=self._sink,
            since=since,
        )

    def _prepared(self) -> Prepared:
        """Return what shall be written of all that is in hand; made once."""
        if self._intake.prepared is None:
            prepared = self._handler.prepare(self._intake.chunks)
            self._store.warm(prepared.batches)
            self._intake.prepared = prepared
        return self._intake.prepared

    def _settle(self, consumer: EventConsumer | None, timeout: float = 0.0) -> None:
        """Act on what the writer thread has finished, if it has."""
        outcome = self._writer.collect(timeout)
        if outcome is None:
            return
        if outcome.fault is not None:
            self._report.fault("store", outcome.fault)
            self._report.retried()
            return
        self._report.clear("store")
        if isinstance(outcome.task, WriteTask):
            self._written(consumer, outcome.task, cast(Written, outcome.result))
        elif isinstance(outcome.task, ClaimTask) and consumer is not None:
            claims = cast("Mapping[TopicPartition, Claim]", outcome.result)
            self._claimed(consumer, outcome.task, claims)

    def _written(
        self, consumer: EventConsumer | None, task: WriteTask, written: Written
    ) -> None:
        if written.fenced:
            self._fenced(consumer, task, written.fenced)
            return
        self._progress = True
        for owned, move in task.moves.items():
            if self._owned.holds(owned):
                owned.stored = move.next_offset
                self._to_commit[owned.tp] = move.next_offset
                self._report.moved(owned)
        self._report.written(task, written)

    def _fenced(
        self,
        consumer: EventConsumer | None,
        task: WriteTask,
        fenced: frozenset[TopicPartition],
    ) -> None:
        """Another member owns these: forget them, ask anew, retry the others."""
        self._report.fenced(fenced)
        task.drop(fenced | {o.tp for o in task.moves if not self._owned.holds(o)})
        if not task.empty:
            self._writer.start(task)
        if consumer is not None:
            stored = {o.tp: o.stored for o in self._owned.claimed if o.tp in fenced}
            self._reclaim(consumer, fenced)
            # Raises MemberFenced where Kafka, too, has given our identity away.
            consumer.commit(stored)

    # -- housekeeping -------------------------------------------------------------

    def _check_topics(self, consumer: EventConsumer) -> None:
        """Notice a topic that was deleted and made anew, or is gone."""
        if self._cadence.due("topics", TOPIC_CHECK_SECONDS):
            ids = consumer.topic_ids()
            self._report.absent(self._specs.keys() - ids.keys())
            stale = self._owned.recreated(ids)
            if stale:
                log.warning("topic_recreated", partitions=partition_names(stale))
                self._reclaim(consumer, stale)

    def _commit_to_kafka(self, consumer: EventConsumer) -> None:
        if self._to_commit and self._cadence.due("commit", KAFKA_COMMIT_SECONDS):
            offsets, self._to_commit = self._to_commit, {}
            try:
                consumer.commit(offsets)
            except TransportUnavailable as fault:
                # For lag tools only; the next commit says the same and more.
                log.warning("kafka_commit_failed", error=str(fault))

    def _report_lag(self, consumer: EventConsumer) -> None:
        claimed = self._owned.claimed
        if not claimed or not self._cadence.due("lag", LAG_SECONDS):
            return
        ends = consumer.end_offsets([owned.tp for owned in claimed])
        self._report.lag(claimed, ends)

    def _not_idle(self) -> str | None:
        """Return why the end is not reached, None when it is."""
        if not self._settled:
            return "the consumer group has not settled"
        if self._writer.busy or self._intake.since is not None or self._holding:
            return "; ".join(self._report.faults.values()) or "records are in hand"
        return self._report.unfinished(self._owned)

    def _idle_verdict(self) -> str | None:
        """Stop the loop when idle; return the reason when waiting was in vain."""
        if self._idle is None:
            return None
        why_not = self._not_idle()
        verdict = self._idle.update(
            time.monotonic(), idle=why_not is None, progress=self._progress
        )
        self._progress = False
        if verdict is IdleVerdict.IDLE:
            self.stop()
        if verdict is IdleVerdict.GAVE_UP:
            return f"no end after {self._idle.max_wait:g} s: {why_not}"
        return None
