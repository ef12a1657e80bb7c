"""Neutral settings under each client's own names."""

from __future__ import annotations

import pytest
from kafka import KafkaConsumer

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import KafkaSecurity
from rtmlops_lib.transport._client_settings import (
    confluent_extra,
    confluent_security,
    kafka_python_extra,
    kafka_python_security,
)

FULL = KafkaSecurity(
    protocol="SASL_SSL",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="ann",
    sasl_password="p1",
    ssl_cafile="/ca.pem",
    ssl_certfile="/cert.pem",
    ssl_keyfile="/key.pem",
    ssl_key_password="p2",
    ssl_check_hostname=False,
)


def test_kafka_python_gets_its_names() -> None:
    named = kafka_python_security(FULL)
    assert named == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "p1",
        "ssl_cafile": "/ca.pem",
        "ssl_certfile": "/cert.pem",
        "ssl_keyfile": "/key.pem",
        "ssl_password": "p2",
        "ssl_check_hostname": False,
    }
    assert named.keys() <= KafkaConsumer.DEFAULT_CONFIG.keys()


def test_confluent_gets_its_names_and_knows_them() -> None:
    confluent_kafka = pytest.importorskip("confluent_kafka")
    named = confluent_security(FULL)
    assert named == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ann",
        "sasl.password": "p1",
        "ssl.ca.location": "/ca.pem",
        "ssl.certificate.location": "/cert.pem",
        "ssl.key.location": "/key.pem",
        "ssl.key.password": "p2",
        "ssl.endpoint.identification.algorithm": "none",
    }
    # It reads the files at construction: that far it gets only with known names.
    with pytest.raises(
        confluent_kafka.KafkaException, match=r"ssl\.ca\.location failed"
    ):
        confluent_kafka.Producer(named)


def test_host_names_are_checked_by_default_and_only_under_tls() -> None:
    assert kafka_python_security(KafkaSecurity(protocol="SSL"))["ssl_check_hostname"]
    found = confluent_security(KafkaSecurity(protocol="SSL"))
    assert found["ssl.endpoint.identification.algorithm"] == "https"
    plain = confluent_security(KafkaSecurity())
    assert plain == {"security.protocol": "PLAINTEXT"}


@pytest.mark.parametrize("translate", [kafka_python_security, confluent_security])
def test_sasl_without_mechanism_or_password_is_refused(translate) -> None:
    with pytest.raises(UsageError, match="MECHANISM"):
        translate(KafkaSecurity(protocol="SASL_SSL"))
    with pytest.raises(UsageError, match="PASSWORD"):
        translate(
            KafkaSecurity(
                protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="a"
            )
        )


def test_extra_settings_get_the_types_that_kafka_python_expects() -> None:
    extra = {
        "fetch.max.wait.ms": "50",
        "CHECK_CRCS": "false",
        "client_rack": "r1",
        "receive_buffer_bytes": "4096",
        "batch_size": "9",
    }
    typed = kafka_python_extra(extra, KafkaConsumer.DEFAULT_CONFIG, {"batch_size"})
    assert typed == {
        "fetch_max_wait_ms": 50,
        "check_crcs": False,
        "client_rack": "r1",
        "receive_buffer_bytes": 4096,
    }


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"fetch_max_wait": "1"}, "did you mean 'fetch_max_wait_ms'"),
        ({"fetch_max_wait_ms": "soon"}, "must be a number, got 'soon'"),
        ({"check_crcs": "perhaps"}, "must be true or false"),
        ({"enable_auto_commit": "true"}, "delivery rests on it"),
    ],
)
def test_an_impossible_extra_setting_is_named(
    extra: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        kafka_python_extra(extra, KafkaConsumer.DEFAULT_CONFIG)


def test_confluent_extra_is_dotted_and_may_not_undermine_delivery() -> None:
    assert confluent_extra({"FETCH_WAIT_MAX_MS": "5"}) == {"fetch.wait.max.ms": "5"}
    for key in ("enable.auto.commit", "isolation_level", "acks"):
        with pytest.raises(UsageError, match="delivery rests on it"):
            confluent_extra({key: "x"})
