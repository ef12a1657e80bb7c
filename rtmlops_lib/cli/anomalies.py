"""``rtmlops anomalies``: episodes that detectors told of."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer
from rich.markup import escape

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import (
    JsonOption,
    SchemaOption,
    load_settings,
    parse_moment,
)
from rtmlops_lib.cli.printing import new_table, output, print_json

__all__ = ["app"]

app = subcommands("Show the anomalies that detectors told of.")


@app.callback()
def _group() -> None:
    """Show the anomalies that detectors told of."""


@app.command("list")
def list_(
    stream: Annotated[
        str | None, typer.Option(help="Of this stream only, by name.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="From then on: ISO 8601, or a length of time ago (7d).")
    ] = "1d",
    open_only: Annotated[
        bool, typer.Option("--open", help="Those that still go on only.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="At most so many.")
    ] = 100,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show episodes, the last begun first."""
    from rtmlops_lib.store.factory import open_store

    settings = load_settings(database_schema=schema)
    first = parse_moment(since, option="--since")
    with closing(open_store(settings)) as store:
        frame = store.anomaly_events(
            stream=stream, since=first, open_only=open_only, limit=limit
        )
    rows: list[dict[str, Any]] = frame.to_dict("records")
    if as_json:
        print_json(rows)
        return
    if not rows:
        output().print(f"no anomalies since {first.isoformat(timespec='seconds')}")
        return
    table = new_table(
        "began",
        "stream",
        "series",
        "state",
        "severity",
        "score",
        "metric",
        "rows",
        "explanation",
        numbers=("score", "rows"),
    )
    for row in rows:
        cells = (
            row["started_at"].isoformat(timespec="seconds"),
            row["stream"],
            row["series_key"],
            row["state"],
            row["severity"],
            f"{row['peak_score']:.2f}",
            row["metric"] or "",
            f"{row['flagged_rows']:,}",
            row["explanation"],
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    output().print(table)
