"""Fixtures of the tests that kill and stall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmlops_lib.settings import Settings
from tests.support.lab import Lab


@pytest.fixture
def lab(
    kafka_bootstrap: str, database_url: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Lab]:
    """Return topics and tables of this test's own."""
    made = Lab(
        Settings(
            kafka_bootstrap_servers=kafka_bootstrap,
            database_url=database_url,
            database_schema=topic_prefix.strip("-"),
            topic_prefix=topic_prefix,
            home=tmp_path / ".rtmlops",
        ),
        tmp_path,
    )
    made.create()
    yield made
    made.sql(f"DROP SCHEMA IF EXISTS {made.settings.database_schema} CASCADE")
