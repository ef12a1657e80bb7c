"""From a member's partitions to the store: what the consume loop has in hand."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.logs import get_logger
from rtmlops_lib.services.backoff import CONFIGURATION_RETRY_SECONDS
from rtmlops_lib.services.cadence import Cadence
from rtmlops_lib.services.handler import Handler, LetterSink, StatefulHandler
from rtmlops_lib.services.intake import Chunk, Intake
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.ownership import Ownership
from rtmlops_lib.services.prepared import Prepared
from rtmlops_lib.services.report import Report, offset_part, partition_names
from rtmlops_lib.services.state_keeper import StateKeeper
from rtmlops_lib.services.tasks import ClaimTask, WriteTask
from rtmlops_lib.services.writer import Writer
from rtmlops_lib.store import Claim, Store, Written
from rtmlops_lib.streams import JsonCodec, RawRecords, StreamSpec, TopicPartition
from rtmlops_lib.transport import EventConsumer, Polled

__all__ = ["Pipeline"]

log = get_logger(__name__)

# Longest poll: how late, at worst, a finished write or a signal is noticed.
POLL_SECONDS = 0.1
# How often the store is asked about partitions that could not be taken over yet.
CLAIM_SECONDS = 0.2
# A poll that brings less has reached the log's end.
FEW_RECORDS = 100


class Pipeline:
    """Takes partitions over, decodes what they bring and has it written.

    Nothing here outlives an assignment: what belongs to a partition that is no longer
    ours is dropped, wherever it stands. All methods are called from the loop's
    thread; the consumer is an argument because the loop may replace it.

    Parameters
    ----------
    group : str
        Consumer group.
    specs : sequence of StreamSpec
        What is read; one topic each.
    store : Store
        Used, and closed, by the writer's thread.
    handler : Handler
    sink : LetterSink, optional
    report : Report
    cadence : Cadence
        The loop's: a claim is due by the name ``claim``.
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
        store: Store,
        handler: Handler,
        sink: LetterSink | None,
        report: Report,
        cadence: Cadence,
        options: LoopOptions,
    ) -> None:
        self.owned = Ownership(group, options.start)
        self.intake = Intake(
            max_rows=options.batch_max_rows, max_seconds=options.batch_max_seconds
        )
        # Stored since Kafka was last told.
        self.to_commit: dict[TopicPartition, int] = {}
        self.settled = False
        self._group = group
        self._specs = {spec.topic: spec for spec in specs}
        self._codecs = {spec.topic: JsonCodec(spec) for spec in specs}
        self._store = store
        self._handler = handler
        self._states = StateKeeper(handler, report)
        self._sink = sink
        self._report = report
        self._cadence = cadence
        self._writer = Writer(store, deadline_seconds=options.write_deadline_seconds)
        self._holding = False
        self._trickling = False
        self._progress = False

    # -- a turn of the loop -------------------------------------------------------

    @property
    def in_hand(self) -> bool:
        """Whether anything was read that is not stored, or a call is under way."""
        return self._writer.busy or self.intake.since is not None or self._holding

    def progressed(self) -> bool:
        """Return whether anything was stored since the last time this was asked."""
        progress, self._progress = self._progress, False
        return progress

    def turn(self, consumer: EventConsumer) -> None:
        """Poll once, and act on what came and on what the writer has done."""
        self._wait_for_room(consumer)
        if self._trickling and self._writer.running:
            # Rather than a poll that likely brings nothing, at some cost.
            self._settle(consumer, timeout=self._poll_seconds())
        polled = consumer.poll_batch(max(1, self.intake.room), self._poll_seconds())
        self._apply_membership(consumer, polled)
        self._take_in(polled)
        self._settle(consumer)

    def finish(self, consumer: EventConsumer | None, deadline: float) -> bool:
        """Write what is in hand by ``deadline`` (monotonic); False where it was not."""
        # Claims are of no use any more; what is in hand of claimed partitions is.
        self.drop([owned.tp for owned in self.owned.unclaimed])
        left = max(0.0, deadline - time.monotonic())
        self._writer.deadline_seconds = min(self._writer.deadline_seconds, left)
        while (left := deadline - time.monotonic()) > 0:
            self._settle(consumer, timeout=left)
            if not self._writer.busy:
                task = self._write_task(last=True)
                if task is None:
                    break
                self._writer.start(task)
            elif not self._writer.running:
                time.sleep(0.02)
                self._writer.pump()
        return not (self._writer.busy or self.intake.count)

    def close(self) -> None:
        """Forget everything, and close the store."""
        self.drop_all()
        self._writer.close()

    # -- membership ---------------------------------------------------------------

    def _apply_membership(self, consumer: EventConsumer, polled: Polled) -> None:
        self.settled |= polled.rebalanced
        gone = polled.revoked | polled.lost
        if gone:
            log.info("partitions_dropped", partitions=partition_names(gone))
            self.drop(gone)
        if polled.assigned:
            log.info("partitions_assigned", partitions=partition_names(polled.assigned))
            self.drop(self.owned.mine(polled.assigned))
            self.owned.add(polled.assigned)
            # A partition that waits for a human shall not keep these waiting.
            self._cadence.now("claim")
        outside = self.owned.mine(polled.out_of_range)
        if outside:
            log.warning("offset_out_of_range", partitions=partition_names(outside))
            self.reclaim(consumer, outside)

    def drop(self, gone: Collection[TopicPartition]) -> None:
        """Forget everything of these partitions: rows, offsets, state, labels."""
        self.intake.drop(gone)
        self._writer.drop(gone)
        self._handler.dropped(gone)
        self.owned.remove(gone)
        for tp in gone:
            self.to_commit.pop(tp, None)
        self._report.forget(gone)

    def drop_all(self) -> None:
        """Forget everything of every partition."""
        self.drop([owned.tp for owned in self.owned])

    def give_up_recreated(
        self, consumer: EventConsumer, topic_ids: Mapping[str, str]
    ) -> None:
        """Begin anew with partitions whose topic is gone, or is another one by now."""
        stale = self.owned.recreated(topic_ids)
        if stale:
            log.warning("topic_recreated", partitions=partition_names(stale))
            self.reclaim(consumer, stale)

    def reclaim(
        self, consumer: EventConsumer, partitions: Collection[TopicPartition]
    ) -> None:
        """Drop what we believe of partitions we still own; ask the store again."""
        mine = self.owned.mine(partitions)
        consumer.pause(mine)
        self.drop(mine)
        self.owned.add(mine)

    def _claimed(
        self,
        consumer: EventConsumer,
        task: ClaimTask,
        claims: Mapping[TopicPartition, Claim],
    ) -> None:
        mine = {o: t for o, t in task.wanted.items() if self.owned.holds(o)}
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
            owned.stored = claim.next_offset
            owned.position = self._states.begin(owned, claim, takeover.log_start)
            consumer.seek(tp, owned.position)
            if not self._holding:
                consumer.resume([tp])
            log.info(
                "reading_from",
                topic=tp.topic,
                part=tp.partition,
                offset=owned.position,
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
            owned = self.owned.get(TopicPartition(raw.topic, raw.partition))
            if owned is None:
                continue  # dropped by what this very poll reported
            known, new = self._states.sorted_out(owned, raw)
            if known is not None and isinstance(self._handler, StatefulHandler):
                self._handler.learn(self._decoded(known))
                self._progress = True
            if new is not None:
                self.intake.add(self._decoded(new))
            # The poll names no position where a rebalance begins meanwhile; rows must
            # never be written without a move that the store can refuse.
            owned.position = max(owned.position, raw.offsets[-1] + 1)
        for tp, position in polled.positions.items():
            owned = self.owned.get(tp)
            if owned is not None and position > owned.position:
                owned.position = position
                if position > owned.stored:
                    self.intake.touch()

    def _decoded(self, raw: RawRecords) -> Chunk:
        decoded = self._codecs[raw.topic].decode(raw)
        return Chunk(self._specs[raw.topic].name, raw, decoded)

    def _poll_seconds(self) -> float:
        writer = self._writer.due_in()
        if writer is not None:
            # Neither a claim nor a write could begin before.
            return min(POLL_SECONDS, writer)
        write = self.intake.due_in()
        soonest = POLL_SECONDS if write is None else min(POLL_SECONDS, write)
        if self.owned.unclaimed:
            soonest = min(soonest, self._cadence.due_in("claim"))
        return soonest

    def _wait_for_room(self, consumer: EventConsumer) -> None:
        """With a full batch in hand, let the writer finish before polling more."""
        if self.intake.room == 0 and self._writer.running and not self._holding:
            self._prepared()
            self._settle(consumer, timeout=0.5)
            self.give_work(consumer)
        full = self.intake.room == 0
        if full != self._holding:
            # The store is slow or away: pause, and let poll() keep the membership.
            self._holding = full
            change = consumer.pause if full else consumer.resume
            change([owned.tp for owned in self.owned.claimed])

    # -- writing ------------------------------------------------------------------

    def give_work(self, consumer: EventConsumer) -> None:
        """Let the writer repeat its task, or give it the next one."""
        self._writer.pump()
        if self._writer.busy or self._writer.resting:
            return
        if self.owned.unclaimed and self._cadence.due("claim", CLAIM_SECONDS):
            claim = self.owned.claim_task(consumer)
            if claim is not None:
                claim.with_state = self._states.active
                self._writer.start(claim)
                return
        due = self.intake.due_in()
        if due == 0.0:
            if self._states.active:
                # Rows of a topic that was made anew are the same when they are read
                # again; what the old one's state makes of them is not, and would stay.
                # All that is in hand was polled before this answer.
                self.give_up_recreated(consumer, consumer.topic_ids())
            task = self._write_task()
            if task is not None:
                self._writer.start(task)

    def _write_task(self, *, last: bool = False) -> WriteTask | None:
        prepared = self._prepared()
        chunks, since = self.intake.take()
        claimed = self.owned.claimed
        moves = {
            owned: owned.move_to(owned.position)
            for owned in claimed
            if owned.position > owned.stored
        }
        snapshots = self._states.due(claimed if last else moves, last=last)
        for owned in snapshots:
            # Not moved, but held against the fence.
            moves.setdefault(owned, owned.move_to(owned.stored))
        if not moves:
            return None
        return WriteTask(
            group=self._group,
            chunks=chunks,
            prepared=prepared,
            moves=moves,
            sink=self._sink,
            since=since,
            snapshots=tuple(snapshots.values()),
        )

    def _prepared(self) -> Prepared:
        """Return what shall be written of all that is in hand; made once."""
        if self.intake.prepared is None:
            prepared = self._handler.prepare(self.intake.chunks)
            self._store.warm(prepared.batches)
            self.intake.prepared = prepared
        return self.intake.prepared

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
            if self.owned.holds(owned):
                owned.stored = move.next_offset
                self.to_commit[owned.tp] = move.next_offset
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
        task.drop(fenced | {o.tp for o in task.moves if not self.owned.holds(o)})
        if not task.empty:
            self._writer.start(task)
        if consumer is not None:
            stored = {o.tp: o.stored for o in self.owned.claimed if o.tp in fenced}
            self.reclaim(consumer, fenced)
            # Raises MemberFenced where Kafka, too, has given our identity away.
            consumer.commit(stored)
