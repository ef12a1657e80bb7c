"""MLflow, a database with tables, and a trained model, for the registry's tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from rtmlops_lib.models.pipeline import Outcome, train_power_model
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import builtin_specs
from tests.support.mlflow_server import MlflowServer
from tests.support.power_rows import QUICK, simulated_frame

SPEC = builtin_specs()["datacenter"]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def registry(mlflow: MlflowServer) -> ModelRegistry:
    return ModelRegistry(mlflow.uri)


@pytest.fixture(scope="module")
def store(database_url: str) -> Iterator[PostgresStore]:
    store = PostgresStore(database_url)
    store.migrate([SPEC])
    yield store
    store.close()


@pytest.fixture
def name() -> str:
    return f"m{uuid.uuid4().hex[:8]}"


class Trainer:
    """Trains small models under one name."""

    def __init__(
        self, registry: ModelRegistry, store: PostgresStore, name: str
    ) -> None:
        self.registry, self.store, self.name = registry, store, name

    def __call__(
        self, *, promote: bool = True, seed: int = 5, **changes: int
    ) -> Outcome:
        return train_power_model(
            self.registry,
            self.store,
            self.name,
            SPEC,
            simulated_frame(seed=seed),
            settings=QUICK.model_copy(update=changes),
            promote=promote,
        )


@pytest.fixture
def train(registry: ModelRegistry, store: PostgresStore, name: str) -> Trainer:
    return Trainer(registry, store, name)
