"""The consumer's port over kafka-python, the default client."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, errors
from kafka import TopicPartition as ClientPartition
from kafka.admin import KafkaAdminClient
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.base import MemberState
from kafka.structs import OffsetAndMetadata

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.streams import RawRecords, TopicPartition
from rtmlops_lib.transport._client_settings import (
    CONNECT_SECONDS,
    FETCH_MIN_BYTES,
    FETCH_WAIT_MS,
    kafka_python_extra,
    kafka_python_security,
)
from rtmlops_lib.transport._kafka_member import KafkaMember
from rtmlops_lib.transport._kafka_python_errors import (
    construct,
    translated,
    translation,
)
from rtmlops_lib.transport._membership import MembershipLog
from rtmlops_lib.transport.errors import TransportUnavailable
from rtmlops_lib.transport.ports import Polled

__all__ = ["KafkaPythonConsumer", "columns"]

_LOG = get_logger(__name__)
_CALL_TIMEOUT_MS = 5_000
# Less: it is for lag tools only, and one of the last things a member does.
_COMMIT_TIMEOUT_MS = 2_000
_CLOSE_TIMEOUT_MS = 1_500
_METADATA_SECONDS = 0.5
# A change of membership is handed over within one slice, whatever the timeout.
_SLICE_SECONDS = 0.1
# A join is waited for inside one poll, lest the client throws its answer away.
_JOIN_SECONDS = 0.5
_ANSWER_SECONDS = 0.05
# After so long without a record, a fetch asks for this many bytes, or waits this long.
_QUIET_SECONDS = 1.0
_QUIET_FETCH = 1, 250
# A new assignment stands here, paused, so that the client asks Kafka for no
# committed offset: it would read from there, or raise where there is none.
_NOWHERE = 0
_FIELDS = tuple(map(itemgetter, (3, 4, 6, 7, 8)))


class KafkaPythonConsumer(KafkaMember):
    """A group member on kafka-python 3.0.

    Parameters are ``KafkaMember``'s.

    Notes
    -----
    The client's I/O thread runs the rebalance callbacks, and there the client's own
    calls would wait for that same thread. So a callback only pauses and notes the
    change; ``poll_batch`` hands it over.

    Taught in chapter 03.
    """

    def _reset(self) -> None:
        # Paused by us until seek: new ones, and those out of range.
        self._held: set[TopicPartition] = set()
        extra = self.settings.kafka_extra
        given = {key.lower().replace(".", "_") for key in extra}
        self._paces = not given & {"fetch_min_bytes", "fetch_max_wait_ms"}
        self._quiet = False
        self._unreadable: RtmlopsError | None = None
        self._came_at = time.monotonic()

    def open(self) -> KafkaPythonConsumer:
        """Connect and subscribe; the group is joined by the first polls."""
        self._client = construct(KafkaConsumer, self._config(), self.settings)
        with translated(self.settings):
            try:
                # The client does not hand this down to its metadata: a cluster that
                # auto-creates would make our topics with its own defaults.
                cluster = self._client._cluster  # noqa: SLF001
                cluster.config["allow_auto_create_topics"] = False
                self._client.subscribe(
                    list(self.topics),
                    listener=_Listener(self._client, self._membership),
                )
                self._await_metadata(cluster)
                # Else an absent topic is asked for ten times a second.
                cluster.config["retry_backoff_ms"] = 1_000
            except BaseException:
                self.close()
                raise
        return self

    def _await_metadata(self, cluster: Any) -> None:
        # Joining before the topics are known gives an empty assignment first and a
        # second rebalance right after.
        deadline = time.monotonic() + _METADATA_SECONDS
        while time.monotonic() < deadline:
            if cluster.topics(exclude_internal_topics=False).issuperset(self.topics):
                return
            time.sleep(0.01)

    def _config(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
            "client_id": self.client_id,
            "group_id": self.group,
            "group_instance_id": self.group_instance_id,
            "session_timeout_ms": settings.kafka_session_timeout_ms,
            "heartbeat_interval_ms": settings.kafka_heartbeat_interval_ms,
            # A member that no longer polls holds up every rebalance this long.
            "max_poll_interval_ms": 60_000,
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "auto_offset_reset": "none",
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "allow_auto_create_topics": False,
            "metadata_max_age_ms": 5_000,
            "request_timeout_ms": 15_000,
            "bootstrap_timeout_ms": CONNECT_SECONDS * 1_000,
            "reconnect_backoff_max_ms": 1_000,
            # One response is parsed while the next is on its way; both bound memory.
            "fetch_max_bytes": 8 * 2**20,
            "max_partition_fetch_bytes": 2**20,
            # Else each event of a trickle is a response of its own: twice the work.
            "fetch_min_bytes": FETCH_MIN_BYTES,
            "fetch_max_wait_ms": FETCH_WAIT_MS,
            "metrics_enabled": False,
            **kafka_python_security(settings.kafka_security),
            **kafka_python_extra(
                settings.kafka_extra,
                KafkaConsumer.DEFAULT_CONFIG,
                {*KafkaProducer.DEFAULT_CONFIG, *KafkaAdminClient.DEFAULT_CONFIG},
            ),
        }

    def poll_batch(self, max_records: int, timeout_seconds: float) -> Polled:
        """Return membership changes and up to ``max_records`` records."""
        polled = Polled()
        if self._unreadable is not None:
            raise self._unreadable
        client = self._opened()
        deadline = time.monotonic() + timeout_seconds
        while True:
            left = deadline - time.monotonic()
            # Rounded up: what is left of a millisecond would be one more poll.
            wait_ms = max(0, math.ceil(min(left, _SLICE_SECONDS) * 1000))
            fetched: dict[Any, list[Any]] = {}
            self._bring_back()
            self._keep_joining()
            try:
                fetched = client.poll(timeout_ms=wait_ms, max_records=max_records)
                if client.group_metadata().state is not MemberState.STABLE:
                    join_ms = int(max(left, _JOIN_SECONDS) * 1000)
                    client._coordinator.poll(timeout_ms=join_ms)  # noqa: SLF001
            except errors.OffsetOutOfRangeError as error:
                self._hold(error.args[0], polled)
            except errors.LogTruncationError as error:
                self._hold(error.divergent_offsets, polled)
            except errors.UnsupportedCodecError as error:
                # The client would look for the end of these records for ever.
                self._unreadable = translation(error, self.settings)
                raise self._unreadable from error
            except errors.RetriableError as error:
                _LOG.debug("poll_failed", error=repr(error))
                time.sleep(max(0.0, min(left, _SLICE_SECONDS)))
            except errors.KafkaError as error:
                # The position has moved over what was fetched: hand that over first.
                if not fetched:
                    raise translation(error, self.settings) from error
                _LOG.debug("poll_failed", error=repr(error))
            if self._membership.drain(polled):
                self._settle(polled)
            polled.records = [
                columns(tp, records)
                for tp, records in fetched.items()
                if TopicPartition(*tp) not in self._paused
            ]
            if polled.records or polled.rebalanced or polled.out_of_range:
                break
            if polled.revoked or polled.lost or left <= 0:
                break
        polled.positions = self._positions()
        self._pace(bool(polled.records))
        return polled

    def _bring_back(self) -> None:
        """Let the client see to what it put aside while a partition was paused.

        It does (3.0) only while no other partition's records are in its hand, and
        counts as such what it has given out to the last one. Until then it also
        fetches nothing of the partition: one that is alone at having news would stand
        still for ever.
        """
        fetcher = self._client._fetcher  # noqa: SLF001
        if not fetcher._next_partition_records:  # noqa: SLF001
            fetcher._next_partition_records = None  # noqa: SLF001

    def _keep_joining(self) -> None:
        """Let the client end a join that it has begun.

        It (3.0) gives up a join whose reason is gone, as when a topic is deleted and
        made anew meanwhile: nobody would fetch the group's answer, and this member
        would stand aside for ever. And an answer that comes between two polls it
        throws away, and asks again, which makes the whole group rebalance again.
        """
        coordinator = self._client._coordinator  # noqa: SLF001
        with coordinator._lock:  # noqa: SLF001
            if not coordinator.rejoining:
                return
            coordinator.request_rejoin()
            if coordinator.state is not MemberState.REBALANCING:
                return  # put out of the group meanwhile: it must ask anew
            answer = coordinator._join_task  # noqa: SLF001
            if answer is not None and answer.is_done and answer.succeeded():
                # It uses one that comes while it waits.
                net, manager = coordinator._net, coordinator._manager  # noqa: SLF001
                again = manager.call_soon(_later, net, answer.value)
                coordinator._join_task = again  # noqa: SLF001

    def _pace(self, came: bool) -> None:
        """Let the broker wait longer where nothing comes, and answer the first at once.

        Each empty answer costs this client more than a millisecond.
        """
        config = self._client._fetcher.config  # noqa: SLF001
        now = time.monotonic()
        if came:
            self._came_at = now
        quiet = now - self._came_at > _QUIET_SECONDS
        if quiet != self._quiet and self._paces:
            self._quiet = quiet
            least, wait = _QUIET_FETCH if quiet else (FETCH_MIN_BYTES, FETCH_WAIT_MS)
            config["fetch_min_bytes"], config["fetch_max_wait_ms"] = least, wait

    def _settle(self, polled: Polled) -> None:
        gone = polled.revoked | polled.lost
        self._paused = (self._paused - gone) | polled.assigned
        self._held = (self._held - gone) | polled.assigned

    def _hold(self, offsets: Mapping[Any, Any], polled: Polled) -> None:
        for tp in offsets:
            partition = TopicPartition(*tp)
            position = self._client.position(tp, timeout_ms=0)
            self._client.pause(tp)
            self._held.add(partition)
            if position is not None:
                polled.out_of_range[partition] = position

    def _positions(self) -> dict[TopicPartition, int]:
        # position() looks at every partition on each call, and may ask the broker.
        consumed = self._client._subscription.all_consumed_offsets()  # noqa: SLF001
        still = self._paused | self._held
        return {
            partition: position.offset
            for tp, position in consumed.items()
            if (partition := TopicPartition(*tp)) not in still
            and partition in self._membership.owned
        }

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read ``partition`` from ``offset`` on; the partition must be assigned."""
        self._check_seek(partition, offset)
        tp = ClientPartition(*partition)
        self._opened().seek(tp, offset)
        self._held.discard(partition)
        if partition not in self._paused:
            self._client.resume(tp)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver nothing of these until ``resume``; positions stay."""
        for partition in self._membership.owned.intersection(partitions):
            self._paused.add(partition)
            self._opened().pause(ClientPartition(*partition))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver again, from where ``seek`` last said."""
        for partition in self._membership.owned.intersection(partitions):
            self._paused.discard(partition)
            if partition not in self._held:
                self._opened().resume(ClientPartition(*partition))

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell Kafka the next offsets, for lag tools only."""
        mine = {
            ClientPartition(*partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
            if partition in self._membership.owned
        }
        if not mine:
            return
        try:
            self._opened().commit(mine, timeout_ms=_COMMIT_TIMEOUT_MS)
        except (
            errors.CommitFailedError,
            errors.IllegalGenerationError,
            errors.RebalanceInProgressError,
            errors.UnknownMemberIdError,
        ) as error:
            _LOG.debug("commit_skipped", reason=type(error).__name__)
        except errors.KafkaError as error:
            raise translation(error, self.settings) from error

    def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offset that each log still holds."""
        return self._offsets(self._opened().beginning_offsets, partitions)

    def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return each log's last stable offset."""
        return self._offsets(self._opened().end_offsets, partitions)

    def _offsets(
        self,
        ask: Callable[..., dict[Any, int]],
        partitions: Iterable[TopicPartition],
    ) -> dict[TopicPartition, int]:
        wanted = [ClientPartition(*p) for p in partitions]
        with translated(self.settings):
            try:
                found = ask(wanted, timeout_ms=_CALL_TIMEOUT_MS)
            except KeyError as error:
                # Made a moment ago: not every broker knows of it, and the client
                # (3.0) does not expect an answer without it.
                raise TransportUnavailable(
                    f"Kafka does not know the offsets of {error.args[0]} yet",
                    remedy="nothing: they are asked for again",
                ) from error
        return {TopicPartition(*tp): offset for tp, offset in found.items()}

    def offsets_for_time(
        self, partitions: Iterable[TopicPartition], timestamp_ms: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time, the end where there is none."""
        wanted = {ClientPartition(*p): max(0, timestamp_ms) for p in partitions}
        with translated(self.settings):
            found = self._opened().offsets_for_times(
                wanted, timeout_ms=_CALL_TIMEOUT_MS
            )
        offsets = {
            TopicPartition(*tp): entry.offset
            for tp, entry in found.items()
            if entry is not None
        }
        later = [p for tp in wanted if (p := TopicPartition(*tp)) not in offsets]
        return offsets | (self.end_offsets(later) if later else {})

    def _leave_with(self, client: Any) -> None:
        try:
            client.close(autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)
        except errors.KafkaError as error:
            _LOG.debug("close_failed", error=repr(error))


async def _later(net: Any, answer: bytes) -> bytes:
    await net.sleep(_ANSWER_SECONDS)
    return answer


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Pauses and notes, nothing else: this runs on the client's I/O thread."""

    def __init__(self, client: Any, membership: MembershipLog) -> None:
        self._client = client
        self._membership = membership

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        for tp in assigned:
            self._client.pause(tp)
            self._client.seek(tp, _NOWHERE)
        self._membership.assign(TopicPartition(*tp) for tp in assigned)

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._membership.revoke([TopicPartition(*tp) for tp in revoked], lost=False)

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        self._membership.revoke([TopicPartition(*tp) for tp in lost], lost=True)


def columns(tp: Any, records: list[Any]) -> RawRecords:
    """Return the client's records of one partition as parallel lists."""
    offsets, timestamps, keys, values, headers = (
        list(map(field, records)) for field in _FIELDS
    )
    return RawRecords(
        tp.topic, tp.partition, offsets, timestamps, keys, values, headers
    )
