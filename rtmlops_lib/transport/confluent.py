"""The consumer's port over confluent-kafka (librdkafka), the faster client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from itertools import groupby, repeat
from typing import Any

from rtmlops_lib.logs import get_logger
from rtmlops_lib.streams import RawRecords, TopicPartition
from rtmlops_lib.transport._client_settings import (
    CONNECT_SECONDS,
    FETCH_MIN_BYTES,
    FETCH_WAIT_MS,
)
from rtmlops_lib.transport._confluent_errors import (
    base_config,
    confluent_kafka,
    construct,
    translated,
    translation,
)
from rtmlops_lib.transport._kafka_member import KafkaMember
from rtmlops_lib.transport.ports import Polled

__all__ = ["ConfluentConsumer"]

_LOG = get_logger(__name__)
_CLOSE_SECONDS = 2.0
# consume() returns early only when it has everything it was asked for; short slices
# hand over what came, and changes of membership, without waiting for more.
_SLICE_SECONDS = 0.02


class ConfluentConsumer(KafkaMember):
    """A group member on librdkafka.

    Parameters are ``KafkaMember``'s.

    Notes
    -----
    librdkafka calls back inside ``consume``, on the caller's thread. An assignment is
    answered with an *empty* fetch set: a partition is assigned to the client with the
    offset that ``seek`` named, never before, so nothing can come from a committed
    offset, and ``auto.offset.reset`` never decides anything.
    """

    def _reset(self) -> None:
        # Where each partition stands; the client's own position() counts an
        # end-of-partition event as if it were a record.
        self._placed: dict[TopicPartition, int] = {}
        self._out_of_range: set[TopicPartition] = set()
        self._moved = False
        self._fault: Any = None

    def open(self) -> ConfluentConsumer:
        """Connect and subscribe; the group is joined by the first polls."""
        library = confluent_kafka()
        self._codes = library.KafkaError
        self._fields = tuple(
            getattr(library.Message, name)
            for name in ("offset", "timestamp", "key", "value", "headers")
        )
        self._place = library.Message.topic, library.Message.partition
        self._error = library.Message.error
        self._client = construct(library.Consumer, self._config(), self.settings)
        try:
            with translated(self.settings):
                # librdkafka connects in the background: ask, so that a wrong address
                # is an error here and not an idle consumer.
                self._client.list_topics(self.topics[0], timeout=CONNECT_SECONDS)
            self._client.subscribe(
                list(self.topics),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
        except BaseException as error:
            self._client.poll(0)  # serves what the client wanted to tell
            fault = self._fault
            self.close()
            if fault is not None:
                raise translation(fault, self.settings) from error
            raise
        return self

    def _config(self) -> dict[str, Any]:
        settings = self.settings
        config = {
            **base_config(settings, self.client_id),
            "group.id": self.group,
            "session.timeout.ms": settings.kafka_session_timeout_ms,
            "heartbeat.interval.ms": settings.kafka_heartbeat_interval_ms,
            # A member that no longer polls holds up every rebalance this long.
            "max.poll.interval.ms": 60_000,
            # The same as kafka-python's: members of both clients share a group.
            "partition.assignment.strategy": "range",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "topic.metadata.refresh.interval.ms": 5_000,
            "topic.metadata.propagation.max.ms": 5_000,
            # Memory: these count compressed bytes of a response and payload bytes of
            # the queue; what they come to is several times as much.
            "queued.max.messages.kbytes": 8 * 1024,
            "queued.min.messages": 10_000,
            "fetch.max.bytes": 2 * 2**20,
            "max.partition.fetch.bytes": 256 * 1024,
            "receive.message.max.bytes": 100 * 2**20,
            # Else each event of a trickle is a response of its own: twice the work.
            "fetch.min.bytes": FETCH_MIN_BYTES,
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            # A default of 1 s is a pause in reading when little is queued.
            "fetch.error.backoff.ms": 100,
            "fetch.queue.backoff.ms": 5,
            "error_cb": self._on_error,
        }
        if self.group_instance_id is not None:
            config["group.instance.id"] = self.group_instance_id
        return config

    def poll_batch(self, max_records: int, timeout_seconds: float) -> Polled:
        """Return membership changes and up to ``max_records`` records."""
        polled = Polled()
        client = self._opened()
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._move()
            left = max(0.0, deadline - time.monotonic())
            try:
                messages = client.consume(max_records, min(left, _SLICE_SECONDS))
            except confluent_kafka().KafkaException as error:
                messages = []
                self._classify(error.args[0])
            if self._fault is not None:
                fault, self._fault = self._fault, None
                raise translation(fault, self.settings)
            if self._membership.drain(polled):
                self._settle(polled)
            if messages:
                self._take(messages, polled)
            if polled.records or polled.rebalanced or polled.out_of_range:
                break
            if polled.revoked or polled.lost or left <= 0:
                break
        still = self._paused | self._out_of_range
        polled.positions = {p: o for p, o in self._placed.items() if p not in still}
        return polled

    def _settle(self, polled: Polled) -> None:
        for partition in polled.revoked | polled.lost | polled.assigned:
            self._placed.pop(partition, None)
            self._out_of_range.discard(partition)
        gone = polled.revoked | polled.lost
        self._paused = (self._paused - gone) | polled.assigned
        self._moved = True

    def _move(self) -> None:
        """Give the client the partitions that have a place, each with its offset.

        ``seek`` of librdkafka fails on a partition that is just starting, and on one
        that was out of range; a new assignment works always.
        """
        if not self._moved:
            return
        at = confluent_kafka().TopicPartition
        placed = [
            at(*partition, offset)
            for partition, offset in self._placed.items()
            if partition not in self._out_of_range
        ]
        with translated(self.settings):
            self._opened().assign(placed)
            waiting = [p for p in placed if (p.topic, p.partition) in self._paused]
            going = [p for p in placed if (p.topic, p.partition) not in self._paused]
            # A new assignment keeps what was paused before it.
            if going:
                self._opened().resume(going)
            if waiting:
                self._opened().pause(waiting)
        self._moved = False

    def _take(self, messages: list[Any], polled: Polled) -> None:
        errors = list(map(self._error, messages))
        if any(errors):
            for message, error in zip(messages, errors, strict=True):
                if error is not None:
                    self._event(message, error, polled)
            messages = [m for m in messages if m.error() is None]
        topic_of, partition_of = self._place
        topics = (
            repeat(self.topics[0], len(messages))
            if len(self.topics) == 1
            else map(topic_of, messages)
        )
        where = zip(topics, map(partition_of, messages), strict=True)
        found: dict[TopicPartition, RawRecords] = {}
        start = 0
        for (topic, partition), run in groupby(where):
            stop = start + sum(1 for _ in run)
            part, start = messages[start:stop], stop
            tp = TopicPartition(topic, partition)
            if tp not in self._placed or tp in self._paused:
                continue
            records = found.setdefault(
                tp, RawRecords(topic, partition, [], [], [], [], [])
            )
            self._append(records, part)
            self._placed[tp] = records.offsets[-1] + 1
        polled.records = list(found.values())

    def _append(self, records: RawRecords, messages: list[Any]) -> None:
        offset, timestamp, key, value, headers = self._fields
        records.offsets += map(offset, messages)
        records.timestamps += [
            at if kind else -1 for kind, at in map(timestamp, messages)
        ]
        records.keys += map(key, messages)
        records.values += map(value, messages)
        records.headers += [found or () for found in map(headers, messages)]

    def _event(self, message: Any, error: Any, polled: Polled) -> None:
        code = error.code()
        tp = TopicPartition(message.topic(), message.partition())
        codes = self._codes
        if code == codes._PARTITION_EOF:  # noqa: SLF001
            # Only forward: the event may be older than a seek.
            if tp in self._placed:
                self._placed[tp] = max(self._placed[tp], message.offset())
        elif code in (codes._AUTO_OFFSET_RESET, codes.OFFSET_OUT_OF_RANGE):  # noqa: SLF001
            if tp in self._placed and self._placed[tp] == message.offset():
                self._out_of_range.add(tp)
                polled.out_of_range[tp] = self._placed[tp]
        else:
            self._classify(error)

    def _classify(self, error: Any) -> None:
        """Keep what needs a human; the rest passes by itself."""
        codes = self._codes
        fatal = error.fatal() or error.code() == codes._FATAL  # noqa: SLF001
        if fatal and self.group_instance_id is not None:
            raise translation(codes(codes.FENCED_INSTANCE_ID), self.settings)
        if error.code() in (
            codes.TOPIC_AUTHORIZATION_FAILED,
            codes.GROUP_AUTHORIZATION_FAILED,
            codes.FENCED_INSTANCE_ID,
            codes.INVALID_SESSION_TIMEOUT,
        ):
            raise translation(error, self.settings)
        _LOG.debug("client_event", error=str(error))

    def _on_error(self, error: Any) -> None:
        codes = self._codes
        if error.code() in (codes._AUTHENTICATION, codes._SSL):  # noqa: SLF001
            self._fault = error
        elif error.code() == codes._FATAL and self.group_instance_id:  # noqa: SLF001
            self._fault = codes(codes.FENCED_INSTANCE_ID)
        else:
            _LOG.debug("client_event", error=str(error))

    def _on_assign(self, client: Any, assigned: list[Any]) -> None:
        client.assign([])
        self._membership.assign(TopicPartition(p.topic, p.partition) for p in assigned)

    def _on_revoke(self, client: Any, revoked: list[Any]) -> None:
        self._leave(client, revoked, lost=False)

    def _on_lost(self, client: Any, lost: list[Any]) -> None:
        self._leave(client, lost, lost=True)

    def _leave(self, client: Any, partitions: list[Any], *, lost: bool) -> None:
        client.unassign()
        gone = [TopicPartition(p.topic, p.partition) for p in partitions]
        # consume() may hand over, in this very call, what it had fetched before.
        for partition in gone:
            self._placed.pop(partition, None)
        self._membership.revoke(gone, lost=lost)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read ``partition`` from ``offset`` on; the partition must be assigned."""
        self._check_seek(partition, offset)
        self._placed[partition] = offset
        self._out_of_range.discard(partition)
        self._moved = True

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver nothing of these until ``resume``; positions stay."""
        new = self._membership.owned.intersection(partitions) - self._paused
        self._paused |= new
        # What consume() would have given next is dropped by the client; it starts
        # again from our own position.
        self._tell("pause", new)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver again, from where ``seek`` last said."""
        old = self._membership.owned.intersection(partitions) & self._paused
        self._paused -= old
        self._tell("resume", old)

    def _tell(self, verb: str, partitions: Iterable[TopicPartition]) -> None:
        at = confluent_kafka().TopicPartition
        known = [
            at(*partition)
            for partition in partitions
            if partition in self._placed and partition not in self._out_of_range
        ]
        if known and not self._moved:
            with translated(self.settings):
                getattr(self._opened(), verb)(known)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell Kafka the next offsets, for lag tools only; does not wait."""
        at = confluent_kafka().TopicPartition
        mine = [
            at(*partition, offset)
            for partition, offset in offsets.items()
            if partition in self._membership.owned
        ]
        if not mine:
            return
        try:
            self._opened().commit(offsets=mine, asynchronous=True)
        except confluent_kafka().KafkaException as error:
            self._classify(error.args[0])

    def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offset that each log still holds."""
        return self._admin.offsets(partitions, "earliest")

    def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return each log's last stable offset."""
        return self._admin.offsets(partitions, "latest")

    def offsets_for_time(
        self, partitions: Iterable[TopicPartition], timestamp_ms: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time, the end where there is none."""
        wanted = list(partitions)
        found = self._admin.offsets(wanted, max(0, timestamp_ms))
        later = [p for p in wanted if found.get(p, -1) < 0]
        return found | (self.end_offsets(later) if later else {})

    def _leave_with(self, client: Any) -> None:
        # librdkafka waits for the broker's farewell without end, and takes no timeout.
        leaving = threading.Thread(
            target=self._close, args=(client,), name="leave-group", daemon=True
        )
        leaving.start()
        leaving.join(_CLOSE_SECONDS)
        if leaving.is_alive():
            _LOG.warning(
                "leaving_unanswered", group=self.group, waited_seconds=_CLOSE_SECONDS
            )

    def _close(self, client: Any) -> None:
        try:
            client.close()
        except confluent_kafka().KafkaException as error:
            _LOG.debug("close_failed", error=str(error))
