"""Run every chapter against the live stack and render the book.

Prints where the page is. One red chapter or one warning is a red build.
"""

from __future__ import annotations

import argparse
import sys

from booklib.command import add_options, exit_code, run_chosen
from booklib.execution import select
from booklib.paths import Layout
from booklib.render import prepare_pages, render
from booklib.stack import clean_environment, live_stack


def main(arguments: list[str] | None = None) -> int:
    """Build the book; 0 when all is green."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument(
        "--no-run", action="store_true", help="render what the last run left"
    )
    options = parser.parse_args(arguments)
    return exit_code(lambda: build(options))


def build(options: argparse.Namespace) -> int:
    """Run the chosen chapters and render all pages."""
    layout = Layout()
    environ = clean_environment(layout)
    # A preview of some chapters: links to the others cannot resolve.
    partial = bool(options.only) or options.no_run
    if select(layout, options.only) and not options.no_run:
        with live_stack(layout, environ):
            run_chosen(layout, environ, options)
    print("rendering", flush=True)
    pages = prepare_pages(layout, select(layout, []), partial=partial)
    page = render(layout, pages, environ, strict=not partial)
    print(f"The book: {page.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
