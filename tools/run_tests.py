"""Run all tests: most of them beside each other, then those that must be alone.

Much of a live test is waiting, for a session to end or a service to start, so several
run at once; whatever measures time or looks at the whole machine (marked ``alone``)
follows by itself. Options are handed on to pytest. The last line counts both parts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
# Each has servers of its own, up to 1 GB: more would gain little and cost memory.
WORKERS = min(3, os.cpu_count() or 1)
PARTS = {
    "beside each other": (
        *("-m", "not alone", "-n", str(WORKERS), "--dist", "loadfile"),
        # In the order of their folders: those that run long come first, unit tests
        # fill the gaps at the end.
        "--no-loadscope-reorder",
    ),
    "alone": ("-m", "alone"),
}
SLOWEST = 8
# pytest's own code for "no test was chosen".
NOTHING_CHOSEN = 5


def main(options: list[str]) -> int:
    """Run both parts; 0 when nothing failed and something ran."""
    counts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    codes = []
    with tempfile.TemporaryDirectory() as folder:
        for name, words in PARTS.items():
            print(f"tests {name}", flush=True)
            report = Path(folder) / "report.xml"
            report.unlink(missing_ok=True)
            command = [*runner(), *words, f"--junit-xml={report}", *options]
            codes.append(subprocess.run(command, cwd=ROOT).returncode)
            if report.is_file():
                counts += outcomes(report)
                seconds += durations(report)
    slowest = (f"{name} {took:.0f} s" for name, took in seconds.most_common(SLOWEST))
    print(f"longest: {', '.join(slowest)}")
    print(", ".join(f"{counts[key]} {key}" for key in ("passed", "failed", "skipped")))
    wrong = [code for code in codes if code not in (0, NOTHING_CHOSEN)]
    return wrong[0] if wrong else int(not counts["passed"])


def runner() -> list[str]:
    """Return how pytest is called: under coverage when that is how we run."""
    if "COVERAGE_RUN" in os.environ:
        return [sys.executable, "-m", "coverage", "run", "-m", "pytest"]
    return [sys.executable, "-m", "pytest"]


def outcomes(report: Path) -> Counter[str]:
    """Count the tests of a JUnit report by outcome; an error is a failure."""
    found: Counter[str] = Counter()
    # Written by pytest a moment ago.
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314
        tags = {child.tag for child in case}
        failed = tags & {"failure", "error"}
        found["failed" if failed else "skipped" if "skipped" in tags else "passed"] += 1
    return found


def durations(report: Path) -> Counter[str]:
    """Sum the seconds of a JUnit report by module."""
    found: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314
        found[case.get("classname", "")] += float(case.get("time", 0))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
