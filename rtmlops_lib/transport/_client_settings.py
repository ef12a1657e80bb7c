"""Settings in client-neutral terms, turned into each client's own names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import KafkaSecurity, Settings

__all__ = [
    "CLIENT_ID",
    "CONNECT_SECONDS",
    "FETCH_MIN_BYTES",
    "FETCH_WAIT_MS",
    "confluent_extra",
    "confluent_security",
    "kafka_python_extra",
    "kafka_python_security",
    "security_summary",
]

CLIENT_ID = "rtmlops"
# How long opening a client may take; a process that is told to stop meanwhile has 10 s.
CONNECT_SECONDS = 5
# The broker answers with so much at least, or with what it has after so long.
FETCH_MIN_BYTES = 16 * 1024
FETCH_WAIT_MS = 50
# What the contract of the ports rests on; nobody may change it from outside.
_FIXED = {
    "acks",
    "allow_auto_create_topics",
    "auto_offset_reset",
    "bootstrap_servers",
    "enable_auto_commit",
    "enable_auto_offset_store",
    "enable_idempotence",
    "enable_partition_eof",
    "group_id",
    "group_instance_id",
    "group_protocol",
    "isolation_level",
    "key_deserializer",
    "key_serializer",
    "partition_assignment_strategy",
    "transactional_id",
    "value_deserializer",
    "value_serializer",
}
_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


def kafka_python_security(security: KafkaSecurity) -> dict[str, Any]:
    """Return the security settings under kafka-python's names.

    Examples
    --------
    >>> kafka_python_security(KafkaSecurity())
    {'security_protocol': 'PLAINTEXT'}
    """
    _check(security)
    named: dict[str, Any] = {
        "security_protocol": security.protocol,
        "sasl_mechanism": security.sasl_mechanism,
        "sasl_plain_username": security.sasl_username,
        "sasl_plain_password": _plain(security.sasl_password),
        "ssl_cafile": security.ssl_cafile,
        "ssl_certfile": security.ssl_certfile,
        "ssl_keyfile": security.ssl_keyfile,
        "ssl_password": _plain(security.ssl_key_password),
    }
    if "SSL" in security.protocol.split("_"):
        named["ssl_check_hostname"] = security.ssl_check_hostname
    return {name: value for name, value in named.items() if value is not None}


def confluent_security(security: KafkaSecurity) -> dict[str, Any]:
    """Return the security settings under librdkafka's names.

    Examples
    --------
    >>> confluent_security(KafkaSecurity())
    {'security.protocol': 'PLAINTEXT'}
    """
    _check(security)
    named: dict[str, Any] = {
        "security.protocol": security.protocol,
        "sasl.mechanism": security.sasl_mechanism,
        "sasl.username": security.sasl_username,
        "sasl.password": _plain(security.sasl_password),
        "ssl.ca.location": security.ssl_cafile,
        "ssl.certificate.location": security.ssl_certfile,
        "ssl.key.location": security.ssl_keyfile,
        "ssl.key.password": _plain(security.ssl_key_password),
    }
    if "SSL" in security.protocol.split("_"):
        named["ssl.endpoint.identification.algorithm"] = (
            "https" if security.ssl_check_hostname else "none"
        )
    return {name: value for name, value in named.items() if value is not None}


def kafka_python_extra(
    extra: Mapping[str, str],
    defaults: Mapping[str, Any],
    known_elsewhere: Collection[str] = (),
) -> dict[str, Any]:
    """Return ``kafka_extra`` with the types that kafka-python expects.

    Parameters
    ----------
    extra : mapping of str to str
        From ``RTMLOPS_KAFKA_EXTRA__<key>``; dots and underscores are the same.
    defaults : mapping of str to object
        The client's own ``DEFAULT_CONFIG``: which keys exist, and their types.
    known_elsewhere : collection of str
        Keys that only kafka-python's other clients know; they are skipped here.

    Raises
    ------
    UsageError
        For a key no client of kafka-python knows, one that is fixed, or a value of
        the wrong type.
    """
    typed: dict[str, Any] = {}
    for given, value in extra.items():
        key = given.lower().replace(".", "_")
        _refuse_fixed(given, key)
        if key in defaults:
            typed[key] = _typed(given, value, defaults[key])
        elif key not in known_elsewhere:
            raise _unknown(given, "kafka-python", [*defaults, *known_elsewhere])
    return typed


def confluent_extra(extra: Mapping[str, str]) -> dict[str, str]:
    """Return ``kafka_extra`` under librdkafka's names, which are written with dots.

    librdkafka itself says at construction whether it knows a key.

    Examples
    --------
    >>> confluent_extra({"fetch_wait_max_ms": "50"})
    {'fetch.wait.max.ms': '50'}
    """
    for given in extra:
        _refuse_fixed(given, given.lower().replace(".", "_"))
    return {key.lower().replace("_", "."): value for key, value in extra.items()}


def security_summary(settings: Settings) -> str:
    """Say in a few words how we connect, without secrets."""
    security = settings.kafka_security
    user = f" as {security.sasl_username}" if security.sasl_username else ""
    return f"{settings.kafka_bootstrap_servers} over {security.protocol}{user}"


def _check(security: KafkaSecurity) -> None:
    if security.protocol.startswith("SASL") and not security.sasl_mechanism:
        raise UsageError(
            f"{security.protocol} needs a SASL mechanism, found none",
            remedy="set RTMLOPS_KAFKA_SASL_MECHANISM, such as SCRAM-SHA-512",
        )
    mechanism = (security.sasl_mechanism or "").upper()
    by_password = mechanism == "PLAIN" or mechanism.startswith("SCRAM")
    if by_password and not (security.sasl_username and security.sasl_password):
        raise UsageError(
            f"{mechanism} needs a user name and a password, found less",
            remedy="set RTMLOPS_KAFKA_SASL_USERNAME and RTMLOPS_KAFKA_SASL_PASSWORD",
        )


def _plain(secret: Any) -> str | None:
    return None if secret is None else str(secret.get_secret_value())


def _refuse_fixed(given: str, key: str) -> None:
    if key in _FIXED:
        raise UsageError(
            f"kafka_extra may not set {given!r}: delivery rests on it",
            remedy=f"unset RTMLOPS_KAFKA_EXTRA__{given}",
        )


def _unknown(given: str, client: str, known: Collection[str]) -> UsageError:
    close = difflib.get_close_matches(given.lower().replace(".", "_"), list(known), 1)
    hint = f"did you mean {close[0]!r}?" if close else "see that client's documentation"
    return UsageError(f"{client} knows no setting {given!r}", remedy=hint)


def _typed(given: str, value: str, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            if value.lower() in _TRUE | _FALSE:
                return value.lower() in _TRUE
            raise ValueError("neither true nor false")
        if isinstance(default, (int, float)):
            return float(value) if "." in value else int(value)
    except ValueError:
        wanted = "true or false" if isinstance(default, bool) else "a number"
        raise UsageError(
            f"kafka_extra {given!r} must be {wanted}, got {value!r}"
        ) from None
    if default is None and value.isdigit():
        return int(value)
    return value
