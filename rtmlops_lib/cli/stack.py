"""``rtmlops up|down|status|logs|doctor|start|stop|restart``: the local live stack."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import SecretStr
from rich.markup import escape

from rtmlops_lib.cli.options import JsonOption, load_settings
from rtmlops_lib.cli.printing import messages, new_table, output, print_json
from rtmlops_lib.settings import Settings

if TYPE_CHECKING:
    from rtmlops_lib.stack import LocalStack

__all__ = ["doctor", "down", "logs", "restart", "start", "status", "stop", "up"]

NameArgument = Annotated[
    str, typer.Argument(help="kafka, postgres, mlflow or a service.", metavar="SERVICE")
]


def up(
    services: Annotated[
        str,
        typer.Option(
            help="Services to start beside Kafka, PostgreSQL and MLflow: names with "
            "commas (storage,generator), all or none.",
        ),
    ] = "all",
    postgres: Annotated[
        str | None,
        typer.Option(
            help="Which PostgreSQL: embedded (from its wheel), system (this machine's "
            "own programs on our data), a postgresql:// URL of a running server, or "
            "auto: the system's where TimescaleDB is, else embedded; decided once.",
        ),
    ] = None,
    kafka_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_534, help="Kafka's port; the one after it too."),
    ] = None,
    postgres_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="PostgreSQL's port.")
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="MLflow's port.")
    ] = None,
) -> None:
    """Start the local live stack; what runs already stays as it is."""
    reporter = _reporter()
    stack = _stack(
        reporter,
        stack_kafka_port=kafka_port,
        stack_postgres_port=postgres_port,
        stack_mlflow_port=mlflow_port,
    )
    began = time.monotonic()
    info = stack.up(services, postgres)
    console = output()
    shown = Settings(database_url=SecretStr(info.database_url)).masked()["database_url"]
    for name, value in (
        ("Kafka", info.kafka_bootstrap_servers),
        ("PostgreSQL", f"{shown}  ({info.postgres})"),
        ("MLflow", info.mlflow_tracking_uri),
        ("home", str(info.home)),
    ):
        console.print(f"{name:<11} {escape(value)}", soft_wrap=True)
    console.print(f"up in {time.monotonic() - began:.1f} s; 'rtmlops down' stops it")


def down(
    volumes: Annotated[
        bool,
        typer.Option("--volumes", "-v", help="Remove all data of the stack too."),
    ] = False,
) -> None:
    """Stop the stack and everything it started; data stay unless -v is given."""
    stack = _stack()
    existed = stack.home.exists
    killed = stack.down(wipe=volumes)
    console = output()
    if not existed:
        console.print(f"no stack in {stack.home.path}", soft_wrap=True)
        return
    note = f" ({killed} processes had to be killed)" if killed else ""
    data = "data removed" if volumes else "data stay; 'rtmlops down -v' removes them"
    console.print(f"down{note}; {data}")


def status(as_json: JsonOption = False) -> None:
    """Show each part and service: state, pid, port, since when, memory."""
    parts = _stack().status()
    if as_json:
        print_json([asdict(part) for part in parts])
        return
    numbers = ("pid", "port", "memory")
    columns = ("part", "state", "pid", "port", "since", "memory")
    table = new_table(*columns, numbers=numbers)
    for part in parts:
        table.add_row(
            part.name,
            part.state,
            str(part.pid or ""),
            str(part.port or ""),
            _ago(part.since),
            f"{part.memory_bytes / 1e6:.0f} MB" if part.memory_bytes else "",
        )
    output().print(table)


def logs(
    service: Annotated[
        str | None,
        typer.Argument(
            help="kafka, postgres, mlflow, supervisord or a service; default: all.",
        ),
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, help="Lines from the end of each.")
    ] = 50,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Keep printing until Ctrl-C.")
    ] = False,
) -> None:
    """Print the logs of the stack."""
    files = _stack().log_files(service)
    several = len(files) > 1

    def show(path: Path, text: str) -> None:
        for line in text.splitlines():
            typer.echo(f"{path.stem:<12}| {line}" if several else line)

    ends: dict[Path, int] = {}
    for path in files:
        text = path.read_bytes()
        ends[path] = len(text)
        tail = text.decode("utf-8", "replace").splitlines()
        show(path, "\n".join(tail[len(tail) - min(lines, len(tail)) :]))
    while follow:
        time.sleep(0.5)
        for path in files:
            try:
                size = path.stat().st_size
                # Smaller than before: the supervisor began a new file.
                ends[path] = 0 if size < ends[path] else ends[path]
                with open(path, "rb") as file:
                    file.seek(ends[path])
                    show(path, file.read().decode("utf-8", "replace"))
                    ends[path] = file.tell()
            except FileNotFoundError:
                continue


def doctor(as_json: JsonOption = False) -> int:
    """Check everything the stack needs; exit 1 where something is wrong."""
    from rtmlops_lib.stack import examine

    settings = load_settings()
    checks = list(examine(settings, dict(os.environ)))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        console = output()
        for check in checks:
            mark = "[green]OK  [/]" if check.ok else "[bold red]FAIL[/]"
            console.print(
                f"{mark} {check.name:<11} {escape(check.detail)}", soft_wrap=True
            )
            if not check.ok:
                console.print(f"     try: {escape(check.remedy)}", soft_wrap=True)
    return 0 if all(check.ok for check in checks) else 1


def start(service: NameArgument) -> None:
    """Start one part or service of the running stack, and wait until it is ready."""
    _stack(_reporter()).start(service)


def stop(service: NameArgument) -> None:
    """Stop one part or service; it stays stopped until start or up."""
    _stack(_reporter()).stop(service)


def restart(service: NameArgument) -> None:
    """Stop and start one part or service."""
    _stack(_reporter()).restart(service)


def _stack(reporter: Any = None, **flags: Any) -> LocalStack:
    from rtmlops_lib.stack import LocalStack

    return LocalStack(load_settings(**flags), reporter=reporter)


def _reporter() -> Any:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    from rtmlops_lib.stack import Reporter

    class TerminalReporter(Reporter):
        """Writes states line by line, downloads as one bar."""

        def __init__(self) -> None:
            self.console = messages()
            self.began = time.monotonic()
            self.lock = threading.Lock()
            self.advance: Callable[[int], None] = lambda count: None

        def say(self, message: str) -> None:
            with self.lock:
                self.console.print(escape(message), soft_wrap=True)

        def state(self, part: str, state: str) -> None:
            seconds = time.monotonic() - self.began
            with self.lock:
                self.console.print(f"{part:<11} {state:<9} {seconds:5.1f} s")

        @contextmanager
        def downloads(self, count: int, size: int) -> Iterator[None]:
            columns = (
                TextColumn(f"Kafka, {count} jars"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
            )
            with Progress(*columns, console=self.console) as progress:
                bar = progress.add_task("", total=size)
                self.advance = lambda done: progress.update(bar, advance=done)
                yield

        @contextmanager
        def download(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
            yield self.advance

    return TerminalReporter()


def _ago(since: datetime | None) -> str:
    if since is None:
        return ""
    seconds = int((datetime.now(UTC) - since).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
