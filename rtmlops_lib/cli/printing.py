"""How commands print: JSON for scripts, tables for people, progress beside both."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["messages", "new_table", "output", "print_json"]


def print_json(data: Any) -> None:
    """Print plain data for a script: numbers that are none become null."""
    typer.echo(
        json.dumps(
            _without_nan(data),
            default=_text,
            allow_nan=False,
            ensure_ascii=(sys.stdout.encoding or "").lower() != "utf-8",
        )
    )


def _text(value: Any) -> str | None:
    text = str(value)
    return None if text in ("NaT", "<NA>") else text


def _without_nan(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_nan(value) for value in data]
    return data


def output() -> Console:
    """Return the console for results, as wide as they need in a pipe."""
    from rich.console import Console

    # A pipe has no width: names must not be cut at rich's 80 columns.
    return Console(width=None if sys.stdout.isatty() else 400, highlight=False)


def messages() -> Console:
    """Return the console for progress, on standard error.

    It moves the cursor on a terminal only, whatever FORCE_COLOR says: a file or a log
    would keep the escape codes.
    """
    from rich.console import Console

    return Console(stderr=True, force_terminal=sys.stderr.isatty())


def new_table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table without lines; ``numbers`` stand on the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            overflow="fold",
        )
    return table
