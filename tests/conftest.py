"""Fixtures that every test may use; servers start only for tests that ask for them."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rtmlops_lib.settings import Settings


@dataclass(frozen=True)
class RunningStack:
    """Where the servers of this test session are."""

    kafka_bootstrap_servers: str
    database_url: str
    mlflow_tracking_uri: str
    home: Path


def free_ports(count: int) -> list[int]:
    """Ports that nobody holds, each with a free one after it (Kafka takes two)."""
    found: list[int] = []
    held: list[socket.socket] = []
    try:
        while len(found) < count:
            pair = [socket.socket(), socket.socket()]
            held += pair
            pair[0].bind(("127.0.0.1", 0))
            port = pair[0].getsockname()[1]
            try:
                pair[1].bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            found.append(port)
    finally:
        for item in held:
            item.close()
    return found


def stack_settings(home: Path, **changes: Any) -> Settings:
    """Settings of a stack of its own: free ports, nothing of the developer's."""
    kafka, postgres, mlflow, metrics = free_ports(4)
    return Settings(
        home=home,
        stack_kafka_port=kafka,
        stack_postgres_port=postgres,
        stack_mlflow_port=mlflow,
        stack_metrics_port=metrics,
        **changes,
    )


def temporary_home() -> Path:
    """A folder that PostgreSQL's user may enter also when root runs the tests."""
    base = Path(tempfile.mkdtemp(prefix="rtmlops-test-"))
    base.chmod(0o755)
    return base / ".rtmlops"


@contextmanager
def scratch_stack(**options: Any) -> Iterator[tuple[Any, Any]]:
    """A stack that is gone afterwards, whatever happens: yields (stack, info)."""
    from rtmlops_lib.stack import LocalStack
    from rtmlops_lib.stack._processes import stack_processes

    stack = LocalStack(stack_settings(temporary_home()))

    def remove() -> None:
        if stack.home.path.exists():
            stack.down(wipe=True)
        shutil.rmtree(stack.home.path.parent, ignore_errors=True)

    # For an exit that skips finalizers.
    atexit.register(remove)
    try:
        yield stack, stack.up(**{"services": "none", **options})
    finally:
        remove()
        atexit.unregister(remove)
        left = stack_processes(stack.home.path)
        assert not left, f"the test stack left processes behind: {left}"


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


@contextmanager
def fresh_database(server_url: str, *, extension: str | None = None) -> Iterator[str]:
    """Create a database, yield its URL, drop it with whoever is still connected."""
    import psycopg2

    name = f"test_{uuid.uuid4().hex[:12]}"

    fresh_url = urlsplit(server_url)._replace(path=f"/{name}").geturl()

    def run(statement: str, url: str = server_url) -> None:
        connection = psycopg2.connect(url, connect_timeout=10)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    run(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        if extension:
            run(f"CREATE EXTENSION {extension}", fresh_url)
        yield fresh_url
    finally:
        run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def scratch_postgres(binaries: Any) -> Iterator[str]:
    """A PostgreSQL alone, with no stack around it."""
    from rtmlops_lib.stack._environment import child_environment
    from rtmlops_lib.stack._home import StackHome
    from rtmlops_lib.stack._postgres import PostgresPart
    from rtmlops_lib.stack._probes import postgres_answers
    from rtmlops_lib.stack._ready import wait_ready
    from rtmlops_lib.stack._reporter import Reporter
    from rtmlops_lib.stack._supervisor import Supervisor

    home = StackHome(temporary_home())
    home.create()
    supervisor = Supervisor(home)
    part = PostgresPart(home, free_ports(1)[0], binaries)

    def remove() -> None:
        supervisor.shut_down()
        shutil.rmtree(home.path.parent, ignore_errors=True)

    atexit.register(remove)
    try:
        part.prepare()
        supervisor.start(
            [part.program()], child_environment(home.path, Settings(), os.environ)
        )
        supervisor.start_program(part.name)
        url = part.url_of("postgres")
        wait_ready(
            {part.name: lambda: postgres_answers(url)},
            supervisor,
            home.logs,
            Reporter(),
        )
        yield url
    finally:
        remove()
        atexit.unregister(remove)
