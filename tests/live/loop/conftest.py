"""A lab for the loop, with an MLflow server of the module's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmlops_lib.settings import Settings
from tests.support.loop_lab import LoopLab
from tests.support.mlflow_server import MlflowServer


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def lab(
    settings: Settings, mlflow: MlflowServer, topic_prefix: str, tmp_path: Path
) -> Iterator[LoopLab]:
    schema = topic_prefix.strip("-")
    lab = LoopLab(
        settings.model_copy(
            update={
                "database_schema": schema,
                "topic_prefix": topic_prefix,
                "mlflow_tracking_uri": mlflow.uri,
                "home": tmp_path / "home",
            }
        ),
        tmp_path,
    )
    lab.create()
    yield lab
    lab.store.close()
    lab.delete_topic()
    lab.sql(f"DROP SCHEMA {schema} CASCADE")
