"""``rtmlops db``: tables, roll-ups and retention, numbers."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from rtmlops_lib.cli.options import (
    JsonOption,
    StreamsOption,
    chosen_specs,
    load_settings,
    print_json,
)
from rtmlops_lib.store.factory import open_store

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Bring the database up to date, maintain it, look at it."
)
SchemaOption = Annotated[
    str | None, typer.Option("--schema", help="Database schema of the tables.")
]


@app.command()
def migrate(
    stream: StreamsOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create or alter the shared tables and those of the streams."""
    settings = load_settings(database_schema=schema)
    specs = chosen_specs(stream, settings)
    with closing(open_store(settings)) as store:
        done = store.migrate(specs)
    if as_json:
        print_json({"schema": settings.database_schema, "done": done})
        return
    console = Console()
    for step in done or ["nothing to do"]:
        console.print(step, highlight=False)


@app.command()
def maintain(
    stream: StreamsOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll up closed minutes and hours, drop what is older than the retention.

    The storage service does so once a minute by itself.
    """
    settings = load_settings(database_schema=schema)
    specs = chosen_specs(stream, settings)
    console = Console(stderr=True)
    with closing(open_store(settings)) as store, console.status("maintaining"):
        counts = store.maintain(specs)
    if as_json:
        print_json(counts)
        return
    if counts.get("skipped"):
        Console().print("skipped: another one is at it")
        return
    for name, count in counts.items():
        Console().print(f"{name.replace('_', ' ')}: {count}", highlight=False)


@app.command()
def stats(schema: SchemaOption = None, as_json: JsonOption = False) -> None:
    """Show rows (estimated), size, dead rows and chunks of every table."""
    settings = load_settings(database_schema=schema)
    with closing(open_store(settings)) as store:
        rows = store.stats().to_dict("records")
    if as_json:
        print_json(rows)
        return
    columns = ("table", "rows (est.)", "dead rows", "size", "chunks", "compressed")
    table = Table(*columns, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(
            str(row["table_name"]),
            f"{row['rows_estimate']:,}",
            f"{row['dead_rows']:,}",
            decimal(int(row["bytes"])),
            str(row["chunks"]),
            str(row["compressed_chunks"]),
        )
    _wide().print(table)


def _wide() -> Console:
    # A pipe has no width: names must not be cut at rich's 80 columns.
    return Console(width=None if sys.stdout.isatty() else 400)
