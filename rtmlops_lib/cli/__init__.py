"""The command line: thin modules over the library."""

from rtmlops_lib.cli.main import main

__all__ = ["main"]
