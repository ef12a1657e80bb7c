"""What several commands share: times, lengths of time, JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.cli.options import (
    KafkaClient,
    chosen_specs,
    load_settings,
    parse_moment,
    parse_seconds,
)
from rtmlops_lib.cli.printing import print_json
from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings

NOW = datetime(2025, 9, 30, 12, tzinfo=UTC)


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@given(st.text())
def test_any_text_is_a_moment_or_wrong_use(text: str) -> None:
    try:
        moment = parse_moment(text, option="--since", now=NOW)
    except UsageError as error:
        assert error.remedy and "--since" in error.message
    else:
        assert moment.tzinfo is not None


@given(st.integers(0, 10_000), st.sampled_from(["s", "m", "min", "h", "d", "w"]))
def test_a_length_of_time_counts_back_from_now(count: int, unit: str) -> None:
    seconds = parse_seconds(f"{count}{unit}", option="--since")
    back = parse_moment(f"{count}{unit}", option="--since", now=NOW)
    assert NOW - back == timedelta(seconds=seconds)


def test_a_moment_keeps_its_offset() -> None:
    written = "2025-09-30T14:00:00+02:00"
    assert parse_moment(written, option="--from", now=NOW) == NOW
    assert parse_moment("now", option="--from", now=NOW) == NOW


@pytest.mark.parametrize("text", ["-1", "1y", "1e3", "", "∞", "9" * 400])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        parse_seconds(text, option="--interval")


def test_json_is_pure_whatever_the_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"a": float("nan"), "b": pd.NaT, "c": NOW, "d": "é"}])
    (row,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert row == {"a": None, "b": None, "c": str(NOW), "d": "é"}


def test_a_stream_named_twice_is_refused_and_a_prefix_is_put_before_topics() -> None:
    with pytest.raises(UsageError, match="same name: datacenter"):
        chosen_specs(["datacenter", "datacenter"], Settings())
    (spec,) = chosen_specs(["services"], Settings(topic_prefix="ch02-"))
    assert spec.topic == "ch02-service-metrics"


@pytest.mark.usefixtures("_logging_as_before")
def test_only_services_say_what_they_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rtmlops_lib.logs import get_logger

    def said() -> str:
        get_logger("x").info("ours")
        logging.getLogger("librdkafka.connection").error("theirs")
        logging.getLogger("kafka.net.selector").warning("blocking the event loop")
        return capsys.readouterr().err

    load_settings(kafka_client=KafkaClient.CONFLUENT)
    assert said() == ""
    load_settings(service=True)
    heard = said()
    assert "ours" in heard and "theirs" in heard and "blocking" not in heard
    monkeypatch.setenv("RTMLOPS_LOG_LEVEL", "INFO")
    load_settings()
    assert "ours" in said()
