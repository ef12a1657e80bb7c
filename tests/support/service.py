"""The real command line as a process that can be stopped, killed and asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rtmlops_lib.settings import Settings


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return an environment in which the command line sees these settings only."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RTMLOPS_")}
    return {
        **inherited,
        "RTMLOPS_ENV_FILE": "",
        "RTMLOPS_HOME": str(settings.home),
        "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "RTMLOPS_DATABASE_URL": settings.database_url.get_secret_value(),
        "RTMLOPS_DATABASE_SCHEMA": settings.database_schema,
        "RTMLOPS_TOPIC_PREFIX": settings.topic_prefix,
        **more,
    }


def command(*arguments: str) -> list[str]:
    """Return the command line of ``rtmlops`` with these arguments."""
    return [sys.executable, "-m", "rtmlops_lib.cli", *arguments]


class Service:
    """One process of ``rtmlops``; its output goes to a file."""

    def __init__(
        self, arguments: Sequence[str], env: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command(*arguments),
                env=dict(env),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started = time.monotonic()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, timeout: float = 15) -> int:
        """SIGTERM; return the exit code."""
        self.process.terminate()
        return self.process.wait(timeout)

    def end(self) -> None:
        """Let it leave its group, for which the next test's members would wait."""
        if self.running:
            # A stopped process does not act on SIGTERM before it is continued.
            self.signal(signal.SIGCONT)
            try:
                self.terminate(timeout=2)
            except subprocess.TimeoutExpired:
                self.kill()

    def wait(self, timeout: float) -> int:
        """Wait for the end; return the exit code."""
        return self.process.wait(timeout)

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def service(
    settings: Settings, log: Path, *arguments: str, **env: str
) -> Iterator[Service]:
    """Run ``rtmlops`` with ``arguments``; it is gone afterwards, whatever happens."""
    running = Service(arguments, environment(settings, **env), log)
    try:
        yield running
    except BaseException:
        # What pytest shows of a failed test.
        print(f"{log.name}:\n{running.output()[-4000:]}")
        raise
    finally:
        running.end()


def get_json(port: int, path: str) -> tuple[int, dict[str, object]]:
    """Ask a service's health endpoint; (0, {}) while nobody listens."""
    url = f"http://127.0.0.1:{port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except (urllib.error.URLError, OSError):
        return 0, {}


def get_metrics(port: int) -> dict[str, float]:
    """Return the sample of each metric with its labels."""
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
