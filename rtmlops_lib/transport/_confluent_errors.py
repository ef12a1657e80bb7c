"""The confluent client: brought in when needed, its errors turned into ours."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from rtmlops_lib.errors import ConfigurationFault, RtmlopsError, UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.settings import Settings
from rtmlops_lib.transport._client_settings import (
    confluent_extra,
    confluent_security,
    security_summary,
)
from rtmlops_lib.transport.errors import MemberFenced, TransportUnavailable

__all__ = ["base_config", "confluent_kafka", "construct", "translated", "translation"]

_LOG = get_logger(__name__)


def confluent_kafka(module: str = "confluent_kafka") -> Any:
    """Return the client's module.

    Raises
    ------
    UsageError
        When it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            "the client 'confluent' is not installed",
            remedy="pip install 'rtmlops[fast]', or use --client kafka-python",
        ) from error


def base_config(settings: Settings, client_id: str) -> dict[str, Any]:
    """Return what all clients of librdkafka need, the user's extra settings last."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": client_id,
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 1_000,
        "allow.auto.create.topics": False,
        "log_level": 4,
        **confluent_security(settings.kafka_security),
    }


def construct(factory: Any, config: dict[str, Any], settings: Settings) -> Any:
    """Return ``factory`` of ``config`` and the user's extra settings.

    Raises
    ------
    UsageError
        When the client does not know one of them, by name.
    """
    error_type = confluent_kafka().KafkaException
    try:
        # Else librdkafka writes its log to standard error by itself.
        return factory(
            {**config, **confluent_extra(settings.kafka_extra)},
            logger=logging.getLogger("librdkafka"),
        )
    except (error_type, TypeError, ValueError) as error:
        text = str(error)
        named = re.search(r'property[^"]*"([^"]+)"', text)
        which = named[1] if named else text
        raise UsageError(
            f"confluent refuses the setting {which!r} ({text})",
            remedy="correct or unset RTMLOPS_KAFKA_EXTRA__" + which.replace(".", "_"),
        ) from error


def translation(error: Any, settings: Settings) -> RtmlopsError:
    """Return the error of ours that says the same as a ``KafkaError``."""
    codes = confluent_kafka().KafkaError
    code, where = error.code(), security_summary(settings)
    if code in (codes.FENCED_INSTANCE_ID, codes._FENCED):  # noqa: SLF001
        return MemberFenced(
            "another member uses this one's group instance id",
            remedy="give each process its own --group-instance-id",
        )
    if code in (
        codes._AUTHENTICATION,  # noqa: SLF001
        codes.SASL_AUTHENTICATION_FAILED,
        codes.UNSUPPORTED_SASL_MECHANISM,
        codes.ILLEGAL_SASL_STATE,
        codes._SSL,  # noqa: SLF001
    ):
        return ConfigurationFault(
            f"Kafka at {where} refuses the credentials ({error})",
            remedy="check RTMLOPS_KAFKA_SECURITY_PROTOCOL and RTMLOPS_KAFKA_SASL_*",
        )
    if code in (
        codes.TOPIC_AUTHORIZATION_FAILED,
        codes.GROUP_AUTHORIZATION_FAILED,
        codes.CLUSTER_AUTHORIZATION_FAILED,
    ):
        return ConfigurationFault(
            f"Kafka at {where} does not permit this ({error})",
            remedy="grant the user Read and Describe on topic and group",
        )
    if code in (codes.TOPIC_EXCEPTION, codes.INVALID_GROUP_ID):
        return ConfigurationFault(
            f"Kafka at {where} refuses the name ({error})",
            remedy="use letters, digits, '.', '_' and '-' only",
        )
    if code == codes.INVALID_SESSION_TIMEOUT:
        return ConfigurationFault(
            f"Kafka at {where} does not allow a session timeout of "
            f"{settings.kafka_session_timeout_ms} ms",
            remedy="set RTMLOPS_KAFKA_SESSION_TIMEOUT_MS within the brokers' "
            "group.min.session.timeout.ms and group.max.session.timeout.ms",
        )
    if code in (
        codes.UNKNOWN_TOPIC_OR_PART,
        codes._UNKNOWN_TOPIC,  # noqa: SLF001
        codes._UNKNOWN_PARTITION,  # noqa: SLF001
    ):
        return ConfigurationFault(
            f"Kafka at {where} has no such topic ({error})",
            remedy="'rtmlops topics create' makes it, 'rtmlops topics list' shows all",
        )
    return TransportUnavailable(
        f"Kafka at {where} does not answer ({error})",
        remedy="check that it runs: 'rtmlops status', 'rtmlops doctor'",
    )


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn what the client raises inside into our family."""
    try:
        yield
    except confluent_kafka().KafkaException as error:
        raise translation(error.args[0], settings) from error
