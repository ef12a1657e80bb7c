"""Commands whose modules are imported only when one of them is called."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["LazyCommand", "lazy_group", "subcommands"]

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is, and what ``rtmlops --help`` says of it meanwhile.

    Parameters
    ----------
    module : str
        Module below ``rtmlops_lib.cli``.
    attribute : str
        A function, or a ``typer.Typer`` with sub-commands.
    help : str
        The first sentence of its own help.
    panel : str
        Heading under which it is listed.
    """

    module: str
    attribute: str
    help: str
    panel: str

    def load(self, name: str) -> Any:
        """Import the module and return the command."""
        found = getattr(import_module(f"rtmlops_lib.cli.{self.module}"), self.attribute)
        if isinstance(found, typer.Typer):
            command = typer.main.get_command(found)
        else:
            alone = typer.Typer(
                add_completion=False,
                rich_markup_mode="rich",
                context_settings=HELP_NAMES,
            )
            alone.command(name)(found)
            command = typer.main.get_command(alone)
        command.name = name
        return command


def lazy_group(commands: dict[str, LazyCommand]) -> type[TyperGroup]:
    """Return a group class over these commands.

    Help and suggestions need names and sentences only: NumPy, pandas and the Kafka
    client would cost a second each time.
    """

    class LazyGroup(TyperGroup):
        """Lists stand-ins, resolves to the commands themselves."""

        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            for name, lazy in commands.items():
                self.add_command(
                    TyperCommand(
                        name,
                        help=lazy.help,
                        rich_help_panel=lazy.panel,
                        rich_markup_mode="rich",
                    )
                )

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            """Import what a name stands for."""
            name, command, rest = super().resolve_command(ctx, args)
            if name in commands:
                command = commands[name].load(name)
            return name, command, rest

    return LazyGroup


def subcommands(help: str) -> typer.Typer:
    """Return an empty group of sub-commands."""
    return typer.Typer(
        help=help,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings=HELP_NAMES,
    )
