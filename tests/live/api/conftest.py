"""An API over a database of its own and an MLflow that holds versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import builtin_specs
from tests.support.api import RunningApi, running_api
from tests.support.mlflow_server import MlflowServer

MODEL = "datacenter-power_kw"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def site(
    settings: Settings, mlflow: MlflowServer, topic_prefix: str, tmp_path: Path
) -> Iterator[Settings]:
    """Settings of one test's own: schema, models' prefix, MLflow."""
    chosen = settings.model_copy(
        update={
            "database_schema": topic_prefix.strip("-"),
            "topic_prefix": topic_prefix,
            "mlflow_tracking_uri": mlflow.uri,
            "home": tmp_path / "home",
        }
    )
    with closing(open_store(chosen)) as store:
        store.migrate(list(builtin_specs().values()))
    yield chosen


@pytest.fixture
def store(site: Settings) -> Iterator[PostgresStore]:
    with closing(open_store(site)) as store:
        yield store


@pytest.fixture
def model(site: Settings) -> str:
    return site.topic_prefix + MODEL


@pytest.fixture
def registry(site: Settings) -> ModelRegistry:
    return ModelRegistry(site.mlflow_tracking_uri)


@pytest.fixture
def versions(registry: ModelRegistry, model: str, tmp_path: Path) -> str:
    """Three versions without files: nobody loads them."""
    (tmp_path / "nothing").write_text("")
    for mape in ("0.05", "0.04", "0.03"):
        registry.register(
            model,
            tmp_path,
            hashes={},
            params={},
            metrics={},
            tags={"metrics": f'{{"mape": {mape}, "bad": NaN}}', "rows": "1234"},
        )
    return model


@pytest.fixture
def start(site: Settings, tmp_path: Path) -> Iterator[Callable[..., RunningApi]]:
    """Return a starter of APIs; all are gone afterwards."""
    with ExitStack() as stack:

        def run(settings: Settings = site, **env: Any) -> RunningApi:
            return stack.enter_context(
                running_api(settings, tmp_path / "api.log", **env)
            )

        yield run


@pytest.fixture
def api(start: Callable[..., RunningApi]) -> RunningApi:
    return start()
