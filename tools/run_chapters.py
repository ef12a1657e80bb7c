"""Run every chapter against the live stack, by papermill, in order.

Executed notebooks go to _build/staging; sources and notebooks/ stay as they are.
The stack is started when it is not running, and then stopped at the end.
"""

from __future__ import annotations

import argparse
import sys

from booklib.chapter import SourceError
from booklib.comparison import compare_runs
from booklib.execution import UnknownParameter, run_chapters, select
from booklib.paths import Layout
from booklib.stack import StackFailed, clean_environment, keep_logs, live_stack


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


def main(arguments: list[str] | None = None) -> int:
    """Run chapters; 0 when all are green."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument(
        "--twice", action="store_true", help="then run again and compare (nbval)"
    )
    options = parser.parse_args(arguments)
    layout = Layout()
    environ = clean_environment(layout)
    try:
        chapters = select(layout, options.only)
        if not chapters:
            print("no chapter is written yet")
            return 0
        with live_stack(layout, environ):
            runs = run_chapters(
                layout,
                chapters,
                environ,
                parameters=dict(options.parameter),
                cell_timeout=options.cell_timeout,
                keep_others=bool(options.only),
            )
            if any(run.error for run in runs):
                keep_logs(environ, layout.build / "failed" / "logs")
                print("service logs: _build/failed/logs", file=sys.stderr)
                return 1
            if options.twice:
                return compare_runs(
                    [run.path for run in runs],
                    environ,
                    cell_timeout=options.cell_timeout,
                )
    except (UnknownParameter, SourceError) as error:
        print(error, file=sys.stderr)
        return 2
    except StackFailed as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
