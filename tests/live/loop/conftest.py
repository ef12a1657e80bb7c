"""A lab for the loop, with an MLflow server of the module's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

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
def loop_database(request: pytest.FixtureRequest) -> str:
    """Plain PostgreSQL, or TimescaleDB for a test that is parametrised so."""
    kind = getattr(request, "param", "plain")
    # Asked for by name, so that one runs where the other is not to be had.
    name = "database_url" if kind == "plain" else "timescale_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def lab(
    settings: Settings,
    loop_database: str,
    mlflow: MlflowServer,
    topic_prefix: str,
    tmp_path: Path,
) -> Iterator[LoopLab]:
    schema = topic_prefix.strip("-")
    lab = LoopLab(
        settings.model_copy(
            update={
                "database_url": SecretStr(loop_database),
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
