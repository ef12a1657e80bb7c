"""Run every chapter against the live stack, by papermill, in order.

Executed notebooks go to _build/staging; sources and notebooks/ stay as they are.
The stack is started when it is not running, and then stopped at the end.
"""

from __future__ import annotations

import argparse
import sys

from booklib.command import add_options, exit_code, run_chosen
from booklib.comparison import compare_runs
from booklib.execution import select
from booklib.paths import Layout
from booklib.stack import clean_environment, live_stack


def main(arguments: list[str] | None = None) -> int:
    """Run chapters; 0 when all are green."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument(
        "--twice", action="store_true", help="then run again and compare (nbval)"
    )
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Run the chosen chapters, and compare a second run where that is asked for."""
    layout = Layout()
    environ = clean_environment(layout)
    if not select(layout, options.only):
        print("no chapter is written yet")
        return 0
    with live_stack(layout, environ):
        paths = run_chosen(layout, environ, options)
        if not options.twice:
            return 0
        return compare_runs(paths, environ, cell_timeout=options.cell_timeout)


if __name__ == "__main__":
    sys.exit(main())
