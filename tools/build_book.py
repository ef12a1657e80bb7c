"""Run every chapter against the live stack and render the book.

Prints where the page is. One red chapter or one warning is a red build.
"""

from __future__ import annotations

import argparse
import sys

import run_chapters as runner
from booklib.chapter import SourceError
from booklib.execution import UnknownParameter, run_chapters, select
from booklib.paths import Layout
from booklib.render import RenderFailed, prepare_pages, render
from booklib.stack import StackFailed, clean_environment, keep_logs, live_stack


def main(arguments: list[str] | None = None) -> int:
    """Build the book; 0 when all is green."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    runner.add_options(parser)
    parser.add_argument(
        "--no-run", action="store_true", help="render what the last run left"
    )
    options = parser.parse_args(arguments)
    layout = Layout()
    environ = clean_environment(layout)
    # A preview of some chapters: links to the others cannot resolve.
    partial = bool(options.only) or options.no_run
    try:
        everything = select(layout, [])
        chapters = select(layout, options.only)
        if chapters and not options.no_run:
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
        print("rendering", flush=True)
        pages = prepare_pages(layout, everything, partial=partial)
        page = render(layout, pages, environ, strict=not partial)
    except (UnknownParameter, SourceError) as error:
        print(error, file=sys.stderr)
        return 2
    except StackFailed as error:
        print(error, file=sys.stderr)
        return 3
    except RenderFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The book: {page.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
