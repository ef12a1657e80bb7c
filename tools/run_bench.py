"""Measure throughput and latency on the local stack, started where it is down.

All options are those of ``python -m benchmarks``, which measures any other stack.
"""

from __future__ import annotations

import subprocess
import sys

from booklib.command import exit_code
from booklib.paths import Layout
from booklib.stack import clean_environment, live_stack


def main() -> int:
    """Run the benchmarks; their exit code, 3 without a stack."""
    return exit_code(run)


def run() -> int:
    """Run the benchmarks with the stack's own addresses."""
    layout = Layout()
    environ = clean_environment(layout)
    words = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
    with live_stack(layout, environ):
        return subprocess.run(words, cwd=layout.root, env=environ).returncode


if __name__ == "__main__":
    sys.exit(main())
