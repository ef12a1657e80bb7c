"""Fixtures of the tests that kill and stall."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtmlops_lib.settings import Settings
from tests.support.lab import Lab


@contextmanager
def lab_on(url: str, kafka: str, prefix: str, folder: Path) -> Iterator[Lab]:
    """Return topics and tables of one test's own, gone afterwards."""
    settings = Settings(
        kafka_bootstrap_servers=kafka,
        database_url=url,
        database_schema=prefix.strip("-"),
        topic_prefix=prefix,
        home=folder / ".rtmlops",
    )
    made = Lab(settings, folder)
    made.create()
    yield made
    made.sql(f"DROP SCHEMA IF EXISTS {settings.database_schema} CASCADE")


@pytest.fixture
def lab(
    kafka_bootstrap: str, database_url: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Lab]:
    """A lab on plain PostgreSQL."""
    with lab_on(database_url, kafka_bootstrap, topic_prefix, tmp_path) as made:
        yield made


@pytest.fixture
def timescale_lab(
    kafka_bootstrap: str, timescale_url: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Lab]:
    """A lab on TimescaleDB; the test is skipped where there is none."""
    with lab_on(timescale_url, kafka_bootstrap, topic_prefix, tmp_path) as made:
        yield made
