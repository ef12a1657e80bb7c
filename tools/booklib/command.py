"""What the commands that run chapters share: options, the run itself, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from booklib.chapter import SourceError
from booklib.execution import UnknownParameter, run_chapters, select
from booklib.paths import Layout
from booklib.render import RenderFailed
from booklib.stack import StackFailed, keep_logs

__all__ = ["ChapterFailed", "add_options", "exit_code", "run_chosen"]


class ChapterFailed(Exception):
    """A chapter is red; its report is already on the terminal."""


_CODES: dict[type[Exception], int] = {
    ChapterFailed: 1,
    RenderFailed: 1,
    UnknownParameter: 2,
    SourceError: 2,
    StackFailed: 3,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose and bound a run."""
    parser.add_argument(
        "--only", action="append", default=[], metavar="NN", help="this chapter only"
    )
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a value for the chapters that have this parameter",
    )
    parser.add_argument(
        "--cell-timeout",
        type=int,
        default=300,
        metavar="SECONDS",
        help="longest a cell may take (default 300)",
    )


def run_chosen(
    layout: Layout, environ: Mapping[str, str], options: argparse.Namespace
) -> list[Path]:
    """Run the chosen chapters on a stack that is up; return the executed notebooks.

    Raises
    ------
    ChapterFailed
        When one is red; the services' logs are kept.
    """
    runs = run_chapters(
        layout,
        select(layout, options.only),
        environ,
        parameters=dict(options.parameter),
        cell_timeout=options.cell_timeout,
        keep_others=bool(options.only),
    )
    if any(run.error for run in runs):
        keep_logs(environ, layout.build / "failed" / "logs")
        raise ChapterFailed("service logs: _build/failed/logs")
    return [run.path for run in runs]


def exit_code(work: Callable[[], int]) -> int:
    """Return what ``work`` returns, or the code of what it raised, having said it."""
    try:
        return work()
    except tuple(_CODES) as error:
        print(error, file=sys.stderr)
        return _CODES[type(error)]
