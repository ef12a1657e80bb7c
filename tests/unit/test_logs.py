"""Logs go to standard error as it is now."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
import structlog

from rtmlops_lib.logs import configure_logging, get_logger


@pytest.fixture(autouse=True)
def _as_before():
    handlers = list(logging.getLogger().handlers)
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def test_a_stream_that_was_closed_since_ends_nobody(monkeypatch) -> None:
    former, present = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", former)
    configure_logging("INFO", "json")
    monkeypatch.setattr(sys, "stderr", present)
    former.close()
    get_logger("here").info("partition_assigned", partition=3)
    logging.getLogger("client").warning("slow")
    lines = present.getvalue().splitlines()
    assert json.loads(lines[0])["partition"] == 3
    assert lines[1].endswith("WARNING client slow")


def test_what_is_below_the_level_is_not_written(capsys) -> None:
    configure_logging("WARNING", "json")
    get_logger("here").info("quiet")
    get_logger("here").warning("loud")
    assert [json.loads(x)["event"] for x in capsys.readouterr().err.splitlines()] == [
        "loud"
    ]


def test_clients_may_be_held_back(capsys) -> None:
    configure_logging("WARNING", "json", clients=False)
    logging.getLogger("kafka.conn").error("connection refused")
    assert capsys.readouterr().err == ""
