"""The entry point: collects the command groups, turns errors into messages."""

from __future__ import annotations

import os
import signal
import sys

import click
import typer
from rich.console import Console
from rich.markup import escape

from rtmlops_lib import __version__
from rtmlops_lib.cli import (
    config,
    consume,
    db,
    dlq,
    export,
    generate,
    offsets,
    stack,
    stream,
    topics,
)
from rtmlops_lib.errors import RtmlopsError

__all__ = ["app", "main"]

INTERNAL_ERROR = 70
INTERRUPTED = 128 + signal.SIGINT

app = typer.Typer(
    name="rtmlops",
    help="Real-time MLOps on any Kafka stream: run it, feed it, store it, look at it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

STACK = "Local stack"
for function in (
    stack.up,
    stack.down,
    stack.status,
    stack.logs,
    stack.doctor,
    stack.start,
    stack.stop,
    stack.restart,
):
    app.command(rich_help_panel=STACK)(function)

SERVICES = "Services"
app.command(rich_help_panel=SERVICES)(generate.generate)
app.add_typer(consume.app, name="consume", rich_help_panel=SERVICES)

DATA = "Streams and data"
app.add_typer(stream.app, name="stream", rich_help_panel=DATA)
app.add_typer(topics.app, name="topics", rich_help_panel=DATA)
app.add_typer(dlq.app, name="dlq", rich_help_panel=DATA)
app.add_typer(offsets.app, name="offsets", rich_help_panel=DATA)
app.add_typer(db.app, name="db", rich_help_panel=DATA)
app.command(rich_help_panel=DATA)(export.export)
app.command(name="config", rich_help_panel=DATA)(config.show)


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
    console = Console(stderr=True, soft_wrap=True)
    try:
        result = app(standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except RtmlopsError as error:
        console.print(f"[bold red]error:[/] {escape(error.message)}")
        if error.remedy:
            console.print(f"  [bold]try:[/] {escape(error.remedy)}")
        code = error.exit_code
    except click.exceptions.Abort:
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (| head); say nothing more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if os.environ.get("RTMLOPS_LOG_LEVEL", "").upper() == "DEBUG":
            raise
        console.print(f"[bold red]internal error:[/] {escape(repr(error))}")
        console.print(
            "  [bold]try:[/] run it again with RTMLOPS_LOG_LEVEL=DEBUG "
            "and report the trace"
        )
        code = INTERNAL_ERROR
    sys.exit(code)
