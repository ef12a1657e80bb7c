"""``rtmlops config``: the settings in force."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from rtmlops_lib.cli.options import JsonOption, print_json
from rtmlops_lib.settings import Settings

__all__ = ["show"]


def show(as_json: JsonOption = False) -> None:
    """Show the settings in force and where each comes from; secrets are masked."""
    settings, sources = Settings.load_with_sources()
    values = settings.masked()
    if as_json:
        print_json(
            {
                name: {"value": value, "source": sources.get(name, "default")}
                for name, value in values.items()
            }
        )
        return
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for name, value in values.items():
        shown = "" if value is None else str(value)
        table.add_row(f"RTMLOPS_{name.upper()}", shown, sources.get(name, "default"))
    Console().print(table)
