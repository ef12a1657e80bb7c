"""The producer's port over a broker in memory."""

from __future__ import annotations

from collections.abc import Sequence

from rtmlops_lib.transport.errors import DeliveryFailed, TransportUnavailable
from rtmlops_lib.transport.memory import MemoryBroker
from rtmlops_lib.transport.ports import EventProducer

__all__ = ["MemoryProducer"]


class MemoryProducer(EventProducer):
    """Sends to a ``MemoryBroker``."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self._failure: str | None = None
        self._closed = False

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Hand one record over."""
        if self._closed or not self.broker.available:
            raise TransportUnavailable("the producer is closed or the broker away")
        refused = self.broker.append(
            topic,
            value,
            key=key,
            headers=tuple(headers),
            partition=partition,
            timestamp_ms=timestamp_ms,
        )
        self._failure = self._failure or refused

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Raise ``DeliveryFailed`` when a record since the last flush was refused."""
        failure, self._failure = self._failure, None
        if failure is not None or not self.broker.available:
            raise DeliveryFailed(
                f"a record was not acknowledged ({failure or 'nobody answers'})"
            )

    def close(self) -> None:
        """Close; twice is fine."""
        self._closed = True
