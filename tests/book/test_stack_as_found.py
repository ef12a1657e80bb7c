"""A run of the chapters leaves the stack as it found it."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from booklib.paths import ROOT, Layout
from booklib.stack import StackFailed, clean_environment, live_stack

from rtmlops_lib.settings import Settings
from rtmlops_lib.stack import LocalStack

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """The environment of a stack of its own, on free ports."""
    # Short, and open to PostgreSQL's own user when root runs the tests.
    base = Path(tempfile.mkdtemp(prefix="rtmlops-book-"))
    base.chmod(0o755)
    environ = clean_environment(Layout(ROOT))
    environ["RTMLOPS_HOME"] = str(base / ".rtmlops")
    environ["RTMLOPS_STACK_POSTGRES"] = "embedded"
    for name in ("KAFKA", "POSTGRES", "MLFLOW", "METRICS"):
        environ[f"RTMLOPS_STACK_{name}_PORT"] = str(_free_port())
    yield environ
    local_stack(environ).down(wipe=True)
    shutil.rmtree(base, ignore_errors=True)


def _free_port() -> int:
    # Kafka takes the next one too.
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def local_stack(environ: dict[str, str]) -> LocalStack:
    return LocalStack(Settings.load(environ=environ))


def test_a_stopped_stack_is_stopped_again_and_a_running_one_runs_on(
    environ: dict[str, str],
) -> None:
    layout = Layout(ROOT)
    with pytest.raises(ZeroDivisionError), live_stack(layout, environ):
        assert local_stack(environ).is_running()
        raise ZeroDivisionError
    assert not local_stack(environ).is_running()

    program = str(Path(sys.executable).with_name("rtmlops"))
    command = [program, "up", "--services", "none"]
    subprocess.run(command, env=environ, check=True, timeout=120)
    with live_stack(layout, environ):
        pass
    assert local_stack(environ).is_running()


def test_a_stack_that_cannot_start_is_told(environ: dict[str, str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", int(environ["RTMLOPS_STACK_KAFKA_PORT"])))
        holder.listen()
        with pytest.raises(StackFailed), live_stack(Layout(ROOT), environ):
            pytest.fail("the stack must not start on a taken port")
