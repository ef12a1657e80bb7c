"""Fixtures that every test may use; servers start only for tests that ask for them."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from rtmlops_lib.settings import Settings
from tests.support.stacks import fresh_database, scratch_postgres, scratch_stack

# Whether an example holds does not depend on how busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@dataclass(frozen=True)
class RunningStack:
    """Where the servers of this test session are."""

    kafka_bootstrap_servers: str
    database_url: str
    mlflow_tracking_uri: str
    home: Path


@pytest.fixture(scope="session", autouse=True)
def _hermetic_settings() -> Iterator[None]:
    """Tests see neither the developer's settings nor his stack."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("RTMLOPS_") and not name.startswith("RTMLOPS_TEST_"):
                patch.delenv(name)
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        patch.setenv("RTMLOPS_ENV_FILE", "")
        empty = tempfile.mkdtemp(prefix="rtmlops-none-")
        patch.setenv("RTMLOPS_HOME", empty)
        yield
        shutil.rmtree(empty, ignore_errors=True)


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """The session's servers: given ones (for development), else a stack of its own."""
    kafka = os.environ.get("RTMLOPS_TEST_KAFKA")
    database = os.environ.get("RTMLOPS_TEST_DATABASE_URL")
    if kafka and database:
        mlflow = os.environ.get("RTMLOPS_TEST_MLFLOW", "http://127.0.0.1:5000")
        yield RunningStack(kafka, database, mlflow, Path("/nonexistent"))
        return
    with scratch_stack(postgres="embedded") as (_, info):
        yield RunningStack(
            info.kafka_bootstrap_servers,
            info.database_url,
            info.mlflow_tracking_uri,
            info.home,
        )


@pytest.fixture(scope="session")
def kafka_bootstrap(stack: RunningStack) -> str:
    """Where Kafka is."""
    return stack.kafka_bootstrap_servers


@pytest.fixture(scope="module")
def database_url(stack: RunningStack) -> Iterator[str]:
    """A fresh database for each test module on the session's PostgreSQL."""
    with fresh_database(stack.database_url) as url:
        yield url


@pytest.fixture(scope="session")
def timescale_server() -> Iterator[str]:
    """A PostgreSQL of the machine's own with TimescaleDB; skips where there is none."""
    given = os.environ.get("RTMLOPS_TEST_TIMESCALE_URL")
    if given:
        yield given
        return
    from rtmlops_lib.stack._pg_binaries import system_binaries

    binaries = next((b for b in system_binaries() if b.timescaledb), None)
    if binaries is None:
        pytest.skip("no PostgreSQL with TimescaleDB is installed on this machine")
    with scratch_postgres(binaries) as url:
        yield url


@pytest.fixture(scope="module")
def timescale_url(timescale_server: str) -> Iterator[str]:
    """A fresh database with TimescaleDB in it, for each test module."""
    with fresh_database(timescale_server, extension="timescaledb") as url:
        yield url


@pytest.fixture
def settings(stack: RunningStack, database_url: str) -> Settings:
    """Settings that point to the session's servers and the module's database."""
    return Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        database_url=database_url,
        mlflow_tracking_uri=stack.mlflow_tracking_uri,
    )


@pytest.fixture
def topic_prefix() -> str:
    """Put before the names of topics and groups, so that tests do not meet."""
    return f"t{uuid.uuid4().hex[:8]}-"
