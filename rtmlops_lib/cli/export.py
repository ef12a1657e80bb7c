"""``rtmlops export``: stored events into a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from rtmlops_lib.cli.options import (
    JsonOption,
    SchemaOption,
    StreamOption,
    chosen_spec,
    load_settings,
    parse_moment,
)
from rtmlops_lib.cli.printing import messages, output, print_json
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["export", "write_csv", "write_parquet"]


def export(
    stream: StreamOption,
    out: Annotated[
        Path, typer.Option(help="The file: its name ends in .parquet or .csv.")
    ],
    since: Annotated[
        str, typer.Option(help="From then on: ISO 8601, or a length of time ago (7d).")
    ] = "7d",
    until: Annotated[
        str | None, typer.Option(help="Up to then, not included; now by default.")
    ] = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write stored events to a Parquet or CSV file, in order of time.

    Memory stays the same whatever the number of events; the file appears when it is
    complete.
    """
    from rtmlops_lib.store.factory import open_store

    writers = {".parquet": write_parquet, ".csv": write_csv}
    write = writers.get(out.suffix)
    if write is None:
        raise UsageError(
            f"--out {out} ends neither in .parquet nor in .csv",
            remedy="give a name that tells the format",
        )
    if not out.parent.is_dir() or out.is_dir():
        raise UsageError(
            f"--out {out} is a folder"
            if out.is_dir()
            else f"folder {out.parent} does not exist",
            remedy="give the name of a file in a folder that exists",
        )
    settings = load_settings(database_schema=schema)
    spec = chosen_spec(stream, settings)
    first = parse_moment(since, option="--since")
    last = None if until is None else parse_moment(until, option="--until")
    if last is not None and last <= first:
        raise UsageError(
            f"--until {until} is not later than --since {since}",
            remedy="give an earlier --since or a later --until",
        )
    columns = [spec.time.field, *spec.fields, "attributes"]
    partial = out.with_name(f".{out.name}.partial")
    progress = Progress(
        SpinnerColumn(),
        TextColumn(f"exporting {spec.name}"),
        MofNCompleteColumn(),
        TextColumn("events"),
        console=messages(),
    )
    rows = 0
    try:
        with closing(open_store(settings)) as store, progress:
            task = progress.add_task("", total=None)

            def counted() -> Iterator[pd.DataFrame]:
                nonlocal rows
                empty = store.read(spec, until=first, since=first, columns=columns)
                yield empty
                for part in store.read_chunks(
                    spec, since=first, until=last, columns=columns
                ):
                    rows += len(part)
                    progress.update(task, completed=rows)
                    yield part

            write(counted(), partial)
        os.replace(partial, out)
    except OSError as error:
        raise UsageError(
            f"cannot write {out}: {error.strerror or error}",
            remedy="choose a folder that you may write to, with room for the file",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    if as_json:
        print_json({"stream": spec.name, "rows": rows, "out": str(out)})
    else:
        output().print(f"{rows:,} events in {escape(str(out))}")


def write_parquet(parts: Iterator[pd.DataFrame], path: Path) -> None:
    """Write DataFrames of the same columns to one file, a row group each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.Schema.from_pandas(next(parts), preserve_index=False)
    # Nullable or not differs between parts; the first, empty one decides the type.
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(
                pa.Table.from_pandas(part, schema=schema, preserve_index=False)
            )


def write_csv(parts: Iterator[pd.DataFrame], path: Path) -> None:
    """Write DataFrames of the same columns to one file with one header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            part.to_csv(
                file,
                index=False,
                header=number == 0,
                date_format="%Y-%m-%dT%H:%M:%S.%fZ",
            )
