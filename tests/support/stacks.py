"""Servers that are started for tests, and are gone afterwards whatever happens."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rtmlops_lib.settings import Settings


def free_ports(count: int) -> list[int]:
    """Ports that nobody holds, each with a free one after it (Kafka takes two).

    Below the range from which systems hand out ports for connections, and apart for
    tests that run beside each other: a port that is free now still is a moment later.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 15_000 + 2_000 * worker
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(first, first + 2_000, 2)
        if port not in found and _is_free(port) and _is_free(port + 1):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


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
def scratch_postgres(binaries: Any, **options: Any) -> Iterator[str]:
    """A PostgreSQL alone, with no stack around it; ``options`` are its settings."""
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
        program = part.program()
        changed = (f"--{name}={value}" for name, value in options.items())
        program = replace(program, command=(*program.command, *changed))
        supervisor.start(
            [program], child_environment(home.path, Settings(), os.environ)
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
