"""``rtmlops config``: the settings in force."""

from __future__ import annotations

from rich.markup import escape

from rtmlops_lib.cli.options import JsonOption
from rtmlops_lib.cli.printing import new_table, output, print_json
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
    table = new_table("setting", "value", "from")
    for name, value in values.items():
        shown = "" if value is None else str(value)
        source = sources.get(name, "default")
        table.add_row(f"RTMLOPS_{name.upper()}", escape(shown), escape(source))
    output().print(table)
