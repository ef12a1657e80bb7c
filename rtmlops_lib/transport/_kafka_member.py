"""What the consumers share, whichever client they read with."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport._client_settings import CLIENT_ID
from rtmlops_lib.transport._membership import MembershipLog
from rtmlops_lib.transport.admin import TopicAdmin
from rtmlops_lib.transport.errors import TransportUnavailable
from rtmlops_lib.transport.ports import EventConsumer

__all__ = ["KafkaMember"]


class KafkaMember(EventConsumer):
    """A group member: who it is, what it owns, and what it asks as an administrator.

    Parameters
    ----------
    settings : Settings
        Where Kafka is, how to sign in, and the session's timing.
    group : str
        The consumer group.
    topics : sequence of str
        What to read; a topic that does not exist yet is joined when it does.
    group_instance_id : str, optional
        Static identity; such a member does not leave when it closes.
    client_id : str
        The name brokers log.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        group: str,
        topics: Sequence[str],
        group_instance_id: str | None = None,
        client_id: str = CLIENT_ID,
    ) -> None:
        self.settings = settings
        self.group = group
        self.topics = tuple(topics)
        self.group_instance_id = group_instance_id
        self.client_id = client_id
        self._client: Any = None
        self._admin = TopicAdmin(settings)
        self._membership = MembershipLog()
        self._paused: set[TopicPartition] = set()
        self._cluster_id: str | None = None
        self._reset()

    @abstractmethod
    def _reset(self) -> None:
        """Set what only this client keeps."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions currently assigned."""
        return self._membership.owned

    def topic_ids(self) -> dict[str, str]:
        """Return the id of each subscribed topic that exists; asks the broker."""
        return self._admin.topic_ids(self.topics)

    def partitions(self) -> frozenset[TopicPartition]:
        """Return every partition of the subscribed topics that exist."""
        return self._admin.partitions(self.topics)

    def cluster_id(self) -> str:
        """Return the id of the cluster; asks the broker once."""
        if self._cluster_id is None:
            self._cluster_id = self._admin.cluster_id()
        return self._cluster_id

    def close(self) -> None:
        """Leave the group and close, within 5 seconds; twice is fine."""
        client, self._client = self._client, None
        self._admin.close()
        if client is not None:
            self._leave_with(client)

    @abstractmethod
    def _leave_with(self, client: Any) -> None:
        """Let the client leave the group and close, within 3 seconds."""

    def _check_seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self._membership.owned:
            raise UsageError(f"{partition} is not assigned to this member")
        if offset < 0:
            raise UsageError(f"cannot seek {partition} to {offset}: below zero")

    def _opened(self) -> Any:
        if self._client is None:
            raise TransportUnavailable("the consumer is closed", remedy="open it first")
        return self._client
