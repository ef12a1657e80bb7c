"""The producer's port over confluent-kafka (librdkafka)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.settings import Settings
from rtmlops_lib.transport._client_settings import CLIENT_ID, CONNECT_SECONDS
from rtmlops_lib.transport._confluent_errors import (
    base_config,
    confluent_kafka,
    construct,
    translated,
    translation,
)
from rtmlops_lib.transport.errors import DeliveryFailed, TransportUnavailable
from rtmlops_lib.transport.ports import EventProducer

__all__ = ["ConfluentProducer"]

_BLOCK_SECONDS = 30.0
_SERVE_EVERY = 1_000


class ConfluentProducer(EventProducer):
    """Sends with ``acks=all`` and idempotence through librdkafka.

    Parameters
    ----------
    settings : Settings
        Where Kafka is and how to sign in.
    client_id : str
        The name brokers log.
    """

    def __init__(self, settings: Settings, *, client_id: str = CLIENT_ID) -> None:
        self.settings = settings
        self.client_id = client_id
        self._client: Any = None
        self._failure: Any = None
        self._fault: Any = None
        self._sent = 0

    def open(self) -> ConfluentProducer:
        """Connect."""
        library = confluent_kafka()
        config = {
            **base_config(self.settings, self.client_id),
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "batch.size": 256 * 1024,
            # The topic's max.message.bytes decides what is too large.
            "message.max.bytes": 64 * 2**20,
            "queue.buffering.max.kbytes": 32 * 1024,
            "queue.buffering.max.messages": 100_000,
            "message.timeout.ms": 60_000,
            "request.timeout.ms": 10_000,
            "on_delivery": self._on_delivery,
            "error_cb": self._on_error,
        }
        self._client = construct(library.Producer, config, self.settings)
        try:
            with translated(self.settings):
                # librdkafka connects in the background: ask for nothing in particular.
                self._client.list_topics("__consumer_offsets", timeout=CONNECT_SECONDS)
        except (TransportUnavailable, ConfigurationFault) as error:
            self._client.poll(0)
            fault = self._fault
            self.close()
            if fault is not None:
                raise translation(fault, self.settings) from error
            raise
        return self

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
        """Hand one record to the client; waits while its buffer is full.

        Raises
        ------
        TransportUnavailable
            When the buffer stays full for 30 s.
        """
        options: dict[str, Any] = {}
        if headers:
            options["headers"] = list(headers)
        if partition is not None:
            options["partition"] = partition
        if timestamp_ms is not None:
            options["timestamp"] = timestamp_ms
        client = self._opened()
        deadline = 0.0
        while True:
            try:
                client.produce(topic, value, key, **options)
                break
            except BufferError as error:
                now = time.monotonic()
                deadline = deadline or now + _BLOCK_SECONDS
                if now >= deadline:
                    raise TransportUnavailable(
                        f"Kafka acknowledged nothing for {_BLOCK_SECONDS:g} s",
                        remedy="check that it runs: 'rtmlops doctor'",
                    ) from error
                client.poll(0.05)
            except confluent_kafka().KafkaException as error:
                self._failure = self._failure or error.args[0]
                break
        self._sent += 1
        if self._sent % _SERVE_EVERY == 0:
            client.poll(0)

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Return once every record since the last flush is acknowledged.

        Raises
        ------
        DeliveryFailed
            When one was not; which of the others were is unknown.
        """
        left = self._opened().flush(timeout_seconds)
        failure, self._failure = self._failure, None
        fault, self._fault = self._fault, None
        if failure is None and left == 0:
            return
        for known in (failure, fault):
            if known is not None:
                cause = translation(known, self.settings)
                if isinstance(cause, ConfigurationFault):
                    raise cause
        if failure is not None:
            raise DeliveryFailed(
                f"a record was not acknowledged ({failure})",
                remedy="compare its size with the topic's max.message.bytes",
            )
        raise DeliveryFailed(
            f"{left} records were not acknowledged within {timeout_seconds:g} s",
            remedy="send them again once Kafka answers",
        )

    def close(self) -> None:
        """Close without waiting for what was never flushed; twice is fine."""
        client, self._client = self._client, None
        if client is not None:
            client.purge()
            client.flush(0.1)

    def _on_delivery(self, error: Any, _: Any) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _on_error(self, error: Any) -> None:
        codes = confluent_kafka().KafkaError
        if error.code() in (codes._AUTHENTICATION, codes._SSL):  # noqa: SLF001
            self._fault = error

    def _opened(self) -> Any:
        if self._client is None:
            raise TransportUnavailable("the producer is closed", remedy="open it first")
        return self._client
