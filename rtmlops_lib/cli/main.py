"""The entry point: collects the command groups, turns errors into messages."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from rtmlops_lib import __version__
from rtmlops_lib.cli.lazy import HELP_NAMES, LazyCommand, lazy_group
from rtmlops_lib.errors import RtmlopsError, UsageError

__all__ = ["COMMANDS", "app", "main"]

INTERNAL_ERROR = 70
INTERRUPTED = 128 + signal.SIGINT
# Newer releases of Typer carry a Click of their own: the class is found by its public
# heir, not imported from a package that may not be there.
ClickException: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)

_STACK = "Local stack"
_SERVICES = "Services"
_DATA = "Streams and data"
_MODELS = "Models"
COMMANDS = {
    "up": LazyCommand(
        "stack",
        "up",
        "Start the local live stack; what runs already stays as it is.",
        _STACK,
    ),
    "down": LazyCommand(
        "stack",
        "down",
        "Stop the stack and everything it started; data stay unless -v is given.",
        _STACK,
    ),
    "status": LazyCommand(
        "stack",
        "status",
        "Show each part and service: state, pid, port, since when, memory.",
        _STACK,
    ),
    "logs": LazyCommand("stack", "logs", "Print the logs of the stack.", _STACK),
    "doctor": LazyCommand(
        "stack",
        "doctor",
        "Check everything the stack needs; exit 1 where something is wrong.",
        _STACK,
    ),
    "start": LazyCommand(
        "stack",
        "start",
        "Start one part or service of the running stack, and wait until it is ready.",
        _STACK,
    ),
    "stop": LazyCommand(
        "stack",
        "stop",
        "Stop one part or service; it stays stopped until start or up.",
        _STACK,
    ),
    "restart": LazyCommand(
        "stack", "restart", "Stop and start one part or service.", _STACK
    ),
    "generate": LazyCommand(
        "generate", "generate", "Simulate a datacenter and send its events.", _SERVICES
    ),
    "consume": LazyCommand(
        "consume", "app", "Run a consumer until it is stopped.", _SERVICES
    ),
    "monitor": LazyCommand(
        "monitor",
        "monitor",
        "Hold each window of the streams against the champion's own reference.",
        _SERVICES,
    ),
    "trainer": LazyCommand(
        "trainer",
        "trainer",
        "Train the models of the streams every day, and whenever somebody asks.",
        _SERVICES,
    ),
    "api": LazyCommand(
        "api",
        "api",
        "Serve the retraining API and its control page until it is stopped.",
        _SERVICES,
    ),
    "train": LazyCommand(
        "train",
        "app",
        "Train a model, register it, promote it if it passes the gate.",
        _MODELS,
    ),
    "models": LazyCommand(
        "models",
        "app",
        "List, compare, promote and roll back registered models.",
        _MODELS,
    ),
    "evaluate": LazyCommand(
        "evaluate",
        "evaluate",
        "Let the detectors watch a simulated fleet, and count what they found.",
        _MODELS,
    ),
    "alerts": LazyCommand(
        "alerts",
        "app",
        "Show alerts; note that somebody has seen them.",
        _MODELS,
    ),
    "anomalies": LazyCommand(
        "anomalies",
        "app",
        "Show the anomalies that detectors told of.",
        _MODELS,
    ),
    "stream": LazyCommand(
        "stream", "app", "Draft, show and check specs; look into their topics.", _DATA
    ),
    "topics": LazyCommand(
        "topics", "app", "Create the streams' topics, list what there is.", _DATA
    ),
    "dlq": LazyCommand(
        "dlq", "app", "Look at dead letters, and send them again.", _DATA
    ),
    "offsets": LazyCommand(
        "offsets",
        "app",
        "Show where consumer groups stand; make them read again.",
        _DATA,
    ),
    "db": LazyCommand(
        "db", "app", "Bring the database up to date, maintain it, look at it.", _DATA
    ),
    "export": LazyCommand(
        "export",
        "export",
        "Write stored events to a Parquet or CSV file, in order of time.",
        _DATA,
    ),
    "detect": LazyCommand(
        "detect",
        "detect",
        "Score each row of a file from 0 to 1 by how anomalous it is.",
        _DATA,
    ),
    "drift": LazyCommand(
        "drift",
        "app",
        "Compare a stream with its reference; explain what was found.",
        _MODELS,
    ),
    "config": LazyCommand(
        "config",
        "show",
        "Show the settings in force and where each comes from; secrets are masked.",
        _DATA,
    ),
}

app = typer.Typer(
    name="rtmlops",
    cls=lazy_group(COMMANDS),
    help="Real-time MLOps on any Kafka stream: run it, feed it, store it, look at it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=HELP_NAMES,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"rtmlops {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=_print_version,
        is_eager=True,
    ),
) -> None:
    """Hold the options of the program itself."""


def main() -> None:
    """Run the command line; every failure becomes a message and an exit code."""
    sys.exit(_run())


def _run() -> int:
    try:
        result = app(standalone_mode=False, prog_name="rtmlops")
        # Here, not at the interpreter's end, where nobody can answer a broken pipe.
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except RtmlopsError as error:
        _say("error", error.message, error.remedy)
        return error.exit_code
    except ClickException as error:
        return _wrong_use(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit as leaving:
        # Both rich and Typer turn a broken pipe into exit 1.
        if isinstance(leaving.__context__, BrokenPipeError):
            return _reader_gone()
        raise
    except Exception as error:
        if os.environ.get("RTMLOPS_LOG_LEVEL", "").upper() == "DEBUG":
            raise
        _say(
            "internal error",
            repr(error),
            "run it again with RTMLOPS_LOG_LEVEL=DEBUG and report the trace",
        )
        return INTERNAL_ERROR


def _wrong_use(error: Any) -> int:
    """Say what Typer found wrong, as all other errors are said."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if message:  # without one, help was asked for by giving nothing, and was printed
        command = context.command_path if context is not None else "rtmlops"
        _say("error", message.rstrip("."), f"'{command} --help' shows what there is")
    return UsageError.exit_code


def _reader_gone() -> int:
    """Say nothing more: whoever read our output (``| head``) has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _say(what: str, message: str, remedy: str | None) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"[bold red]{what}:[/] {escape(message)}")
    if remedy:
        console.print(f"  [bold]try:[/] {escape(remedy)}")
