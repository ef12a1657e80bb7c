"""Fixtures of the tests that kill and stall."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.stack._jars import JarCache
from tests.support.lab import Lab
from tests.support.own_kafka import OwnKafka


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


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnKafka]:
    """A Kafka that may be stopped and killed; whoever does so brings it back."""
    folder = tmp_path_factory.mktemp("kafka")
    jars = JarCache.for_user(folder, os.environ)
    jars.ensure()
    broker = OwnKafka(folder, jars)
    broker.format()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


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
