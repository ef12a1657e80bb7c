"""Detectors on plain PostgreSQL and on TimescaleDB, with no registry in reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtmlops_lib.settings import Settings
from tests.support.detector_lab import DetectorLab

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def make_lab(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Callable[..., DetectorLab]]:
    """Return a maker of labs, each gone afterwards."""
    labs: list[DetectorLab] = []

    def make(url: str, stream: str = "datacenter", mlflow: str = NOBODY) -> DetectorLab:
        settings = Settings(
            kafka_bootstrap_servers=kafka_bootstrap,
            database_url=url,
            database_schema=f"{topic_prefix.strip('-')}{len(labs)}",
            topic_prefix=topic_prefix,
            mlflow_tracking_uri=mlflow,
            home=tmp_path / "home",
        )
        lab = DetectorLab(settings, tmp_path, stream)
        lab.create()
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.delete_topic()
        lab.sql(f"DROP SCHEMA {lab.settings.database_schema} CASCADE")


@pytest.fixture
def lab(database_url: str, make_lab: Callable[..., DetectorLab]) -> DetectorLab:
    """A lab of the datacenter stream on plain PostgreSQL."""
    return make_lab(database_url)
