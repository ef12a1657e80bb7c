"""``rtmlops db``: tables, roll-ups and retention, numbers."""

from __future__ import annotations

from contextlib import closing

from rich.filesize import decimal
from rich.markup import escape

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import (
    JsonOption,
    SchemaOption,
    StreamsOption,
    chosen_specs,
    load_settings,
)
from rtmlops_lib.cli.printing import messages, new_table, output, print_json

__all__ = ["app"]

app = subcommands("Bring the database up to date, maintain it, look at it.")


@app.command()
def migrate(
    stream: StreamsOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create or alter the shared tables and those of the streams."""
    from rtmlops_lib.store.factory import open_store

    settings = load_settings(database_schema=schema)
    specs = chosen_specs(stream, settings)
    with closing(open_store(settings)) as store:
        done = store.migrate(specs)
    if as_json:
        print_json({"schema": settings.database_schema, "done": done})
        return
    for step in done or ["nothing to do"]:
        output().print(escape(step))


@app.command()
def maintain(
    stream: StreamsOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll up closed minutes and hours, drop what is older than the retention.

    The storage service does so once a minute by itself.
    """
    from rtmlops_lib.store.factory import open_store

    settings = load_settings(database_schema=schema)
    specs = chosen_specs(stream, settings)
    waiting = messages().status("maintaining")
    with closing(open_store(settings)) as store, waiting:
        counts = store.maintain(specs)
    if as_json:
        print_json(counts)
        return
    if counts.get("skipped"):
        output().print("skipped: another one is at it")
        return
    for name, count in counts.items():
        output().print(f"{name.replace('_', ' ')}: {count:,}")


@app.command()
def stats(schema: SchemaOption = None, as_json: JsonOption = False) -> None:
    """Show rows (estimated), size, dead rows and chunks of every table."""
    from rtmlops_lib.store.factory import open_store

    settings = load_settings(database_schema=schema)
    with closing(open_store(settings)) as store:
        rows = store.stats().to_dict("records")
    if as_json:
        print_json(rows)
        return
    numbers = ("rows (est.)", "dead rows", "size", "chunks", "compressed")
    table = new_table("table", *numbers, numbers=numbers)
    for row in rows:
        table.add_row(
            str(row["table_name"]),
            f"{row['rows_estimate']:,}",
            f"{row['dead_rows']:,}",
            decimal(int(row["bytes"])),
            str(row["chunks"]),
            str(row["compressed_chunks"]),
        )
    output().print(table)
