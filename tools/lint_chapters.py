"""Check that chapters keep the frame; ``tools/lint_chapters.py [FILE …]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from booklib.lint import lint_book, lint_pages
from booklib.paths import Layout


def main(arguments: list[str] | None = None) -> int:
    """Print every broken rule as file:line: message."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="sources; all by default")
    options = parser.parse_args(arguments)
    layout = Layout()
    only = [path.resolve() for path in options.files] or None
    problems = lint_book(layout, only)
    if only is None:
        problems += lint_pages(layout)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
