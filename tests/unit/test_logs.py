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
    theirs = json.loads(lines[1])
    assert theirs.pop("timestamp")
    assert theirs == {"event": "slow", "level": "warning", "component": "client"}


def test_a_file_gets_no_escape_codes(capsys) -> None:
    configure_logging("INFO", "console")
    get_logger("here").info("started")
    logging.getLogger("client").error("gone")
    err = capsys.readouterr().err
    assert "started" in err and "gone" in err and "\x1b" not in err


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
