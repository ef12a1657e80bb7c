"""``rtmlops alerts``: what people should know of."""

from __future__ import annotations

import getpass
from contextlib import closing
from typing import Annotated

import typer
from rich.markup import escape

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import JsonOption, SchemaOption, load_settings
from rtmlops_lib.cli.printing import new_table, output, print_json
from rtmlops_lib.errors import UsageError

__all__ = ["app"]

app = subcommands("Show alerts; note that somebody has seen them.")


@app.command("list")
def list_(
    every: Annotated[
        bool, typer.Option("--all", help="Those that are over, too.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="At most so many.")
    ] = 100,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show open alerts, newest first."""
    from rtmlops_lib.store.factory import open_store

    settings = load_settings(database_schema=schema)
    with closing(open_store(settings)) as store:
        rows = store.alerts.records(open_only=not every, limit=limit)
    if as_json:
        print_json(rows)
        return
    if not rows:
        output().print("no alerts" if every else "no open alerts")
        return
    table = new_table(
        "id", "raised", "severity", "kind", "stream", "state", "message", numbers=["id"]
    )
    for row in rows:
        state = "open"
        if row["resolved_at"] is not None:
            state = "resolved"
        elif row["acknowledged_at"] is not None:
            state = f"seen by {row['acknowledged_by']}"
        cells = (
            str(row["id"]),
            row["raised_at"].isoformat(timespec="seconds"),
            row["severity"],
            row["kind"],
            row["stream"] or "",
            state,
            row["message"],
        )
        table.add_row(*map(escape, cells))
    output().print(table)


@app.command()
def ack(
    alert: Annotated[list[int], typer.Argument(min=1, help="Ids, as list shows them.")],
    by: Annotated[
        str | None, typer.Option(help="Who has seen it. Default: the user's name.")
    ] = None,
    schema: SchemaOption = None,
) -> None:
    """Note that somebody has seen alerts; they stay open until they are resolved."""
    from rtmlops_lib.store.factory import open_store

    settings = load_settings(database_schema=schema)
    who = by or _user()
    with closing(open_store(settings)) as store:
        missing = [str(i) for i in alert if not store.alerts.acknowledge(i, who)]
    if missing:
        raise UsageError(
            f"there is no alert {', '.join(missing)}",
            remedy="'rtmlops alerts list' shows them",
        )
    output().print(f"acknowledged by {escape(who)}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
