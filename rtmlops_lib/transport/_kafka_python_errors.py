"""kafka-python's exceptions, translated into ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from rtmlops_lib.errors import ConfigurationFault, RtmlopsError, UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.transport._client_settings import security_summary
from rtmlops_lib.transport.errors import MemberFenced, TransportUnavailable

__all__ = ["construct", "quieten", "translated", "translation"]

_AUTHENTICATION = (
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.SecurityDisabledError,
)
# Which no client of kafka-python takes, and all hand on. A broker that accepts a
# connection and then says nothing is otherwise waited for twice as long as asked.
_SETUP = {
    "socket_connection_setup_timeout_ms": 4_000,
    "socket_connection_setup_timeout_max_ms": 4_000,
}
_NOISY = (
    "kafka.cluster",
    "kafka.coordinator",
    "kafka.consumer.fetcher",
    "kafka.coordinator.base",
    "kafka.coordinator.heartbeat",
    "kafka.coordinator.consumer",
    "kafka.net.connection",
    "kafka.net.manager",
    "kafka.producer.kafka",
    "kafka.producer.sender",
)


def translation(error: BaseException, settings: Settings) -> RtmlopsError:
    """Return the error of ours that says the same."""
    where = security_summary(settings)
    name = type(error).__name__
    # kafka-python's own errors begin with their names already.
    text = f"{name}: {str(error).removeprefix(f'{name}: ')}"
    if isinstance(error, errors.FencedInstanceIdError):
        return MemberFenced(
            "another member uses this one's group instance id",
            remedy="give each process its own --group-instance-id",
        )
    if isinstance(error, _AUTHENTICATION):
        return ConfigurationFault(
            f"Kafka at {where} refuses the credentials ({text})",
            remedy="check RTMLOPS_KAFKA_SECURITY_PROTOCOL and RTMLOPS_KAFKA_SASL_*",
        )
    if isinstance(error, errors.AuthorizationError):
        return ConfigurationFault(
            f"Kafka at {where} does not permit this ({text})",
            remedy="grant the user Read and Describe on topic and group",
        )
    if isinstance(error, (errors.InvalidTopicError, errors.InvalidGroupIdError)):
        return ConfigurationFault(
            f"Kafka at {where} refuses the name ({text})",
            remedy="use letters, digits, '.', '_' and '-' only",
        )
    if isinstance(error, errors.InvalidSessionTimeoutError):
        return ConfigurationFault(
            f"Kafka at {where} does not allow a session timeout of "
            f"{settings.kafka_session_timeout_ms} ms",
            remedy="set RTMLOPS_KAFKA_SESSION_TIMEOUT_MS within the brokers' "
            "group.min.session.timeout.ms and group.max.session.timeout.ms",
        )
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return ConfigurationFault(
            f"Kafka at {where} has no such topic ({text})",
            remedy="'rtmlops topics create' makes it, 'rtmlops topics list' shows all",
        )
    if isinstance(error, errors.UnsupportedCodecError):
        return ConfigurationFault(
            f"kafka-python cannot read records of Kafka at {where} ({text})",
            remedy="install that library, or use '--client confluent', which has all",
        )
    if isinstance(error, errors.KafkaConfigurationError):
        return UsageError(f"kafka-python refuses its settings ({error})")
    return TransportUnavailable(
        f"Kafka at {where} does not answer ({text})",
        remedy="check that it runs ('rtmlops doctor') and is where "
        "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS says ('rtmlops config')",
    )


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn what kafka-python raises inside into our family."""
    try:
        yield
    except (errors.KafkaError, OSError) as error:
        raise translation(error, settings) from error


def quieten() -> None:
    """Thin out the loggers that repeat one line for as long as a fault lasts."""
    for name in _NOISY:
        logging.getLogger(name).addFilter(_FILTER)


def _read_before_hanging_up(transport: type[Any]) -> None:
    """Let kafka-python read the last words of a broker that hangs up.

    A broker that refuses credentials says so and closes. When both arrive at once,
    kafka-python (3.0) throws away the answer and reports a lost connection.
    """
    receive = transport._sock_recv  # noqa: SLF001

    def read_first(self: Any) -> tuple[bytes, Exception | None]:
        data, error = receive(self)
        # The end is still there at the next call.
        return data, None if data else error

    transport._sock_recv = read_first  # noqa: SLF001


for _transport in (KafkaTCPTransport, KafkaSSLTransport):
    _read_before_hanging_up(_transport)


def construct(
    factory: Callable[..., Any], config: dict[str, Any], settings: Settings
) -> Any:
    """Return a client of kafka-python that is connected.

    Its constructors connect, start a thread, and when nobody lets them in they keep
    trying, then keep the thread and drop the reason: all put right here.

    Raises
    ------
    TransportUnavailable, ConfigurationFault
        When no broker answers in time, or one refuses us.
    UsageError
        For settings that the client does not accept.
    """
    quieten()
    made: list[Any] = []

    def remembered(**client_config: Any) -> Any:
        made.append(KafkaNetClient(**_SETUP, **client_config))
        _stop_at_refusal(made[-1]._manager)  # noqa: SLF001
        return made[-1]

    try:
        client = factory(**config, kafka_client=remembered)
    except (errors.KafkaError, OSError) as error:
        for one in made:
            one.close()
        raise translation(error, settings) from error
    for one in made:
        del one._manager.get_connection  # noqa: SLF001
    return client


def _stop_at_refusal(manager: Any) -> None:
    """Let a manager of connections raise what a broker refused it with."""
    connect = manager.get_connection
    refusals: list[BaseException] = []

    def note(error: BaseException) -> None:
        if isinstance(error, _AUTHENTICATION):
            refusals.append(error)

    def get_connection(*args: Any, **options: Any) -> Any:
        if refusals:
            raise refusals[0]
        connection = connect(*args, **options)
        connection.init_future.add_errback(note)
        return connection

    manager.get_connection = get_connection


class _Thinning(logging.Filter):
    """Lets a line pass once a minute.

    kafka-python repeats some lines ten times a second for as long as a fault lasts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        key = str(record.msg)[:60]
        if now - self._last.get(key, -60.0) < 60.0:
            return False
        self._last[key] = now
        return True


_FILTER = _Thinning()
