"""Topics seen from outside: create, describe, delete, and how far a group has read."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from kafka import TopicPartition as ClientPartition
from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.protocol.consumer import IsolationLevel

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec, TopicPartition
from rtmlops_lib.transport._client_settings import (
    CLIENT_ID,
    kafka_python_extra,
    kafka_python_security,
)
from rtmlops_lib.transport._kafka_python_errors import construct, translated

__all__ = ["DLQ_HEADROOM_BYTES", "DLQ_SUFFIX", "TopicAdmin", "TopicDescription"]

DLQ_SUFFIX = ".dlq"
# Room for the headers of a dead letter beside the record that it carries.
DLQ_HEADROOM_BYTES = 64 * 1024
_BROKER_DEFAULT_MESSAGE_BYTES = 1_048_588
_DLQ_RETENTION_MS = 14 * 24 * 3600 * 1000
_TIMEOUT_MS = 5_000
_COORDINATOR_AWAITED = (
    errors.CoordinatorLoadInProgressError,
    errors.CoordinatorNotAvailableError,
    errors.NotCoordinatorError,
)


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """What a broker says about one topic."""

    name: str
    topic_id: str
    partitions: int
    replication_factor: int
    configs: dict[str, str] = field(default_factory=dict)

    @property
    def max_message_bytes(self) -> int:
        """The largest record batch that the topic takes."""
        return int(self.configs.get("max.message.bytes", _BROKER_DEFAULT_MESSAGE_BYTES))


class TopicAdmin:
    """Administers topics; connects at the first call, and again after ``close``.

    Whatever the client that consumes, this one is kafka-python's.

    Parameters
    ----------
    settings : Settings
        Where Kafka is and how to sign in.
    timeout_ms : int
        Longest wait for one request.
    """

    def __init__(self, settings: Settings, *, timeout_ms: int = _TIMEOUT_MS) -> None:
        self.settings = settings
        self.timeout_ms = timeout_ms
        self._client: Any = None

    def __enter__(self) -> TopicAdmin:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> TopicAdmin:
        """Connect.

        Raises
        ------
        TransportUnavailable, ConfigurationFault
            When no broker answers, or one refuses us.
        """
        if self._client is None:
            extra = self.settings.kafka_extra
            config = {
                "bootstrap_servers": self.settings.kafka_bootstrap_servers.split(","),
                "client_id": f"{CLIENT_ID}-admin",
                "request_timeout_ms": self.timeout_ms,
                "bootstrap_timeout_ms": self.timeout_ms,
                "reconnect_backoff_max_ms": 1_000,
                **kafka_python_security(self.settings.kafka_security),
                **kafka_python_extra(
                    extra,
                    KafkaAdminClient.DEFAULT_CONFIG,
                    # What the reading or sending client does not know, it says itself.
                    {key.lower().replace(".", "_") for key in extra},
                ),
            }
            self._client = construct(KafkaAdminClient, config, self.settings)
        return self

    def close(self) -> None:
        """Disconnect; twice is fine."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def cluster_id(self) -> str:
        """Return the id of the cluster."""
        with translated(self.settings):
            return str(self._opened().describe_cluster()["cluster_id"])

    def list_topics(self) -> list[str]:
        """Return the names of all topics but Kafka's own, sorted."""
        with translated(self.settings):
            found = self._opened().describe_topics()
        return sorted(t["name"] for t in found if not t["is_internal"])

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """Return the ids of those topics that exist, as Kafka's own tools do."""
        return {t["name"]: _text(t["topic_id"]) for t in self._described(topics)}

    def partitions(self, topics: Sequence[str]) -> frozenset[TopicPartition]:
        """Return every partition of those topics that exist."""
        return frozenset(
            TopicPartition(topic["name"], partition["partition_index"])
            for topic in self._described(topics)
            for partition in topic["partitions"]
        )

    def describe(
        self, topics: Sequence[str] | None = None
    ) -> dict[str, TopicDescription]:
        """Return what the broker says about those topics that exist.

        Parameters
        ----------
        topics : sequence of str, optional
            All but Kafka's own by default.
        """
        if topics is None:
            topics = self.list_topics()
        described = self._described(topics)
        configs = self._configs([t["name"] for t in described])
        return {
            t["name"]: TopicDescription(
                name=t["name"],
                topic_id=_text(t["topic_id"]),
                partitions=len(t["partitions"]),
                replication_factor=max(
                    (len(p["replica_nodes"]) for p in t["partitions"]), default=0
                ),
                configs=configs.get(t["name"], {}),
            )
            for t in described
        }

    def _described(self, topics: Sequence[str]) -> list[dict[str, Any]]:
        if not topics:
            return []
        with translated(self.settings):
            found = self._opened().describe_topics(list(topics))
        present = []
        for topic in found:
            if topic["error_code"] == 0:
                present.append(topic)
            elif (error := errors.for_code(topic["error_code"])) not in (
                errors.UnknownTopicOrPartitionError,
                errors.LeaderNotAvailableError,
            ):
                with translated(self.settings):
                    raise error(topic["name"])
        return present

    def _configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        with translated(self.settings):
            answer = self._opened().describe_configs(wanted, config_filter="all")
        return {
            name: {key: entry["value"] for key, entry in configs.items()}
            for name, configs in answer.get("topic", {}).items()
        }

    def create(
        self,
        topic: str,
        *,
        partitions: int = 1,
        configs: Mapping[str, str] | None = None,
    ) -> bool:
        """Create a topic and wait until it has leaders; False where it stood."""
        options = {"num_partitions": partitions, "configs": dict(configs or {})}
        with translated(self.settings):
            client = self._opened()
            try:
                client.create_topics({topic: options}, timeout_ms=self.timeout_ms)
            except errors.TopicAlreadyExistsError:
                return False
            except (
                errors.PolicyViolationError,
                errors.InvalidConfigurationError,
                errors.InvalidReplicationFactorError,
                errors.InvalidPartitionsError,
            ) as error:
                raise ConfigurationFault(
                    f"Kafka refuses to create topic {topic!r}: {error}",
                    remedy="create it by hand with settings that the cluster permits",
                ) from error
            client.wait_for_topics([topic])
        return True

    def ensure_topics(
        self, specs: Iterable[StreamSpec], *, dlq: bool = True
    ) -> list[str]:
        """Create the topics of streams, and their dead-letter topics, where missing.

        Existing ones are left alone.

        Returns
        -------
        list of str
            The topics that were created.
        """
        created = []
        for spec in specs:
            # A record is its value, its key and a little framing.
            needed = spec.max_value_bytes + spec.max_key_bytes + 4096
            configs = {}
            if needed > _BROKER_DEFAULT_MESSAGE_BYTES:
                configs["max.message.bytes"] = str(needed)
            if self.create(spec.topic, partitions=spec.partitions, configs=configs):
                created.append(spec.topic)
            if dlq:
                created += self.ensure_dlq(spec.topic)
        return created

    def ensure_dlq(self, source: str, dlq_topic: str | None = None) -> list[str]:
        """Create the dead-letter topic of ``source`` where it is missing.

        Its ``max.message.bytes`` is the source's plus 64 KiB, so that what the source
        took fits with the headers of a dead letter.
        """
        dlq_topic = dlq_topic or source + DLQ_SUFFIX
        found = self.describe([source, dlq_topic])
        if dlq_topic in found:
            return []
        limit = (
            found[source].max_message_bytes
            if source in found
            else _BROKER_DEFAULT_MESSAGE_BYTES
        )
        configs = {
            "max.message.bytes": str(limit + DLQ_HEADROOM_BYTES),
            "retention.ms": str(_DLQ_RETENTION_MS),
            "cleanup.policy": "delete",
        }
        return [dlq_topic] if self.create(dlq_topic, configs=configs) else []

    def delete(self, topics: Iterable[str]) -> None:
        """Delete topics; those that do not exist are passed over."""
        for topic in topics:
            with translated(self.settings):
                try:
                    self._opened().delete_topics([topic], timeout_ms=self.timeout_ms)
                except errors.UnknownTopicOrPartitionError:
                    continue

    def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Move the start of each log up to an offset."""
        wanted = {ClientPartition(*p): offset for p, offset in before.items()}
        with translated(self.settings):
            self._opened().delete_records(wanted, timeout_ms=self.timeout_ms)

    def group_offsets(self, group: str) -> dict[TopicPartition, int]:
        """Return the offsets that a group has committed to Kafka."""
        with translated(self.settings):
            found = self._opened().list_group_offsets(group)
        return {
            TopicPartition(*tp): entry.offset
            for tp, entry in found.get(group, {}).items()
            if entry.offset >= 0
        }

    def group_members(self, group: str) -> int:
        """Return how many members a group has now.

        The first group of a cluster has to wait for its coordinator.
        """
        deadline = time.monotonic() + self.timeout_ms / 1000
        with translated(self.settings):
            while True:
                try:
                    found = self._opened().describe_groups([group])
                    break
                except _COORDINATOR_AWAITED:
                    if time.monotonic() > deadline:
                        raise
                time.sleep(0.2)
        return len(found.get(group, {}).get("members", []))

    def end_offsets(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return the last stable offset of every partition of topics."""
        return self.offsets(self.partitions(topics), "latest")

    def offsets(
        self, partitions: Iterable[TopicPartition], at: str | int
    ) -> dict[TopicPartition, int]:
        """Return an offset of each partition, as a ``read_committed`` reader sees it.

        Parameters
        ----------
        partitions : iterable of TopicPartition
            What to ask for.
        at : {"earliest", "latest"} or int
            The log's start, its end, or a time in milliseconds since 1970: then the
            first offset at or after it, -1 where there is none.
        """
        when = {"earliest": -2, "latest": -1}.get(at, at) if isinstance(at, str) else at
        wanted = {ClientPartition(*partition): when for partition in partitions}
        if not wanted:
            return {}
        with translated(self.settings):
            found = self._opened().list_partition_offsets(
                wanted,
                isolation_level=IsolationLevel.READ_COMMITTED,
                timeout_ms=self.timeout_ms,
            )
        return {TopicPartition(*tp): entry.offset for tp, entry in found.items()}

    def _opened(self) -> Any:
        self.open()
        return self._client


def _text(topic_id: UUID | str) -> str:
    """Return an id in the form that Kafka's own tools print."""
    raw = UUID(topic_id) if isinstance(topic_id, str) else topic_id
    return base64.urlsafe_b64encode(raw.bytes).rstrip(b"=").decode("ascii")
