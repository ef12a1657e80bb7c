"""The producer's port over kafka-python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, errors
from kafka.admin import KafkaAdminClient

from rtmlops_lib.errors import ConfigurationFault, RtmlopsError, UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.transport._client_settings import (
    CLIENT_ID,
    CONNECT_SECONDS,
    kafka_python_extra,
    kafka_python_security,
)
from rtmlops_lib.transport._kafka_python_errors import (
    construct,
    translated,
    translation,
)
from rtmlops_lib.transport.errors import DeliveryFailed, TransportUnavailable
from rtmlops_lib.transport.ports import EventProducer

__all__ = ["KafkaPythonProducer"]

# kafka-python 3.0 dropped buffer_memory: what is handed over while the broker is slow
# or away grows without end unless we wait.
_BUFFER_BYTES = 16 * 2**20
# Each record also costs the client a future and its callbacks.
_RECORD_OVERHEAD_BYTES = 512
_BLOCK_SECONDS = 30.0


class KafkaPythonProducer(EventProducer):
    """Sends with ``acks=all`` and idempotence through kafka-python 3.0.

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
        self._failure: BaseException | None = None
        self._buffered = 0
        self._closed = True

    def open(self) -> KafkaPythonProducer:
        """Connect."""
        self._closed = False
        config = {
            "bootstrap_servers": self.settings.kafka_bootstrap_servers.split(","),
            "client_id": self.client_id,
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": "lz4",
            "linger_ms": 5,
            "batch_size": 128 * 1024,
            # The topic's max.message.bytes decides what is too large.
            "max_request_size": 64 * 2**20,
            "max_block_ms": int(_BLOCK_SECONDS * 1000),
            "request_timeout_ms": 10_000,
            "delivery_timeout_ms": 60_000,
            "bootstrap_timeout_ms": CONNECT_SECONDS * 1_000,
            "reconnect_backoff_max_ms": 1_000,
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
            **kafka_python_security(self.settings.kafka_security),
            **kafka_python_extra(
                self.settings.kafka_extra,
                KafkaProducer.DEFAULT_CONFIG,
                {*KafkaConsumer.DEFAULT_CONFIG, *KafkaAdminClient.DEFAULT_CONFIG},
            ),
        }
        self._client = construct(KafkaProducer, config, self.settings)
        # As in the consumer: the client does not hand this down to its metadata.
        self._client._metadata.config["allow_auto_create_topics"] = False  # noqa: SLF001
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
        """Hand one record to the client; waits while too much is unacknowledged.

        Raises
        ------
        UsageError
            For a record with neither key nor value, which this client cannot send.
        TransportUnavailable, ConfigurationFault
            When the topic stays unknown, or nothing is acknowledged, for 30 s.
        """
        if key is None and value is None:
            raise UsageError(
                "kafka-python sends no record that has neither key nor value",
                remedy="give it a key, or use --client confluent",
            )
        if self._failure is not None:
            # The flush will say so; after some failures the client refuses all else.
            return
        self._buffered += len(value or b"") + len(key or b"") + _RECORD_OVERHEAD_BYTES
        if self._buffered > _BUFFER_BYTES:
            self._wait(_BLOCK_SECONDS)
        try:
            future = self._opened().send(
                topic,
                value=value,
                key=key,
                headers=list(headers),
                partition=partition,
                timestamp_ms=timestamp_ms,
            )
        except errors.MessageSizeTooLargeError as error:
            self._failed(error)
        except errors.KafkaError as error:
            raise translation(error, self.settings) from error
        else:
            future.add_errback(self._failed)

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Return once every record since the last flush is acknowledged.

        Raises
        ------
        DeliveryFailed
            When one was not; which of the others were is unknown.
        """
        try:
            self._wait(timeout_seconds)
        except TransportUnavailable as error:
            self._discard()
            raise DeliveryFailed(
                f"records were not acknowledged within {timeout_seconds:g} s",
                remedy="send them again once Kafka answers",
            ) from error
        failure = self._failure
        if failure is not None:
            self._discard()
            cause: RtmlopsError = translation(failure, self.settings)
            if isinstance(cause, ConfigurationFault):
                raise cause from failure
            raise DeliveryFailed(
                f"a record was not acknowledged ({type(failure).__name__}: {failure})",
                remedy="compare its size with the topic's max.message.bytes",
            ) from failure

    def close(self) -> None:
        """Close without waiting for what was never flushed; twice is fine."""
        self._closed = True
        self._discard()

    def _discard(self) -> None:
        """Drop the client, which is of no more use after a fatal failure."""
        client, self._client = self._client, None
        self._failure, self._buffered = None, 0
        if client is not None:
            try:
                client.close(timeout=0)
            except errors.KafkaTimeoutError:
                # The client gives up closing here, and its thread would go on sending.
                client._sender.force_close()  # noqa: SLF001

    def _wait(self, timeout_seconds: float) -> None:
        with translated(self.settings):
            self._opened().flush(timeout=timeout_seconds)
        self._buffered = 0

    def _failed(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error

    def _opened(self) -> Any:
        if self._closed:
            raise TransportUnavailable("the producer is closed", remedy="open it first")
        if self._client is None:
            self.open()
        return self._client
