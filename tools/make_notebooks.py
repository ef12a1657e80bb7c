"""Write notebooks/, the figures, the checklists and _toc.yml from book/.

``--check`` writes nothing and fails where something is out of step.
"""

from __future__ import annotations

import argparse
import sys

from booklib.chapter import SourceError
from booklib.generate import stale_files, write_files
from booklib.paths import Layout


def main(arguments: list[str] | None = None) -> int:
    """Generate or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args(arguments)
    layout = Layout()
    try:
        if not options.check:
            for path in write_files(layout):
                print(f"wrote {layout.show(path)}")
            return 0
        problems = stale_files(layout)
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("run 'make notebooks' and commit what it writes", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
