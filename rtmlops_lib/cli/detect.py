"""``rtmlops detect``: the detector on anyone's file."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rtmlops_lib.cli.options import JsonOption
from rtmlops_lib.cli.printing import messages, output, print_json
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["detect"]

_FORMATS = (".csv", ".parquet")
_QUIET_SECONDS = 2.0


def detect(
    csv: Annotated[
        Path, typer.Option("--csv", help="The file to score: .csv, or .parquet.")
    ],
    out: Annotated[
        Path, typer.Option(help="The file of scores: its name ends in .csv or .parquet")
    ],
    time_column: Annotated[
        str | None,
        typer.Option(help="The column of times. Default: the one that looks like it."),
    ] = None,
    value_columns: Annotated[
        str | None,
        typer.Option(help="What to watch: a,b,c. Default: all columns of numbers."),
    ] = None,
    series_column: Annotated[
        str | None, typer.Option(help="The column that says which series a row is of.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score each row of a file from 0 to 1 by how anomalous it is.

    A row's score uses no later row. From 0.5 on a row is flagged. One set of defaults
    serves any sampling step; the rows may be in any order.
    """
    _check_names(csv, out)
    frame = _read(csv)
    columns = None
    if value_columns is not None:
        columns = [part.strip() for part in value_columns.split(",") if part.strip()]
        if not columns:
            raise UsageError(
                "--value-columns names no column", remedy="give it as a,b,c"
            )
    scores = _scored(frame, time_column, columns, series_column)
    _write(scores, out)
    flagged = int(scores["flagged"].sum())
    if as_json:
        step = scores.attrs["step_seconds"]
        told = {"rows": len(scores), "flagged": flagged, "step_seconds": step}
        print_json({**told, "out": str(out)})
    else:
        output().print(
            f"{len(scores):,} rows scored, {flagged:,} flagged; see {escape(str(out))}"
        )


def _check_names(source: Path, out: Path) -> None:
    if out.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"--out {out} ends neither in .csv nor in .parquet",
            remedy="give a name that tells the format",
        )
    if not out.parent.is_dir() or out.is_dir():
        raise UsageError(
            f"--out {out} is a folder"
            if out.is_dir()
            else f"folder {out.parent} does not exist",
            remedy="give the name of a file in a folder that exists",
        )
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(
            f"--out {out} is the very file to score", remedy="give another name"
        )


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    if not path.is_file():
        raise UsageError(
            f"--csv {path} is no file", remedy="give the name of a file that exists"
        )
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, low_memory=False)
    except pd.errors.EmptyDataError:
        raise UsageError(
            f"--csv {path} is empty", remedy="give a file with a header and rows"
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        # ParserError and UnicodeDecodeError are ValueErrors.
        cause = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(
            f"cannot read {path}: {cause}",
            remedy="give UTF-8 text with commas and a header line, or Parquet",
        ) from error


def _scored(
    frame: pd.DataFrame,
    time_column: str | None,
    columns: list[str] | None,
    series_column: str | None,
) -> pd.DataFrame:
    from rtmlops_lib.models.detect import detect_frame

    began = time.monotonic()
    bar = Progress(
        TextColumn("scoring"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
        console=messages(),
    )
    task = bar.add_task("", total=None)
    done = 0

    def tick(count: int, total: int) -> None:
        nonlocal done
        done += count
        if not bar.live.is_started and time.monotonic() - began > _QUIET_SECONDS:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        return detect_frame(
            frame,
            time_column=time_column,
            value_columns=columns,
            series_column=series_column,
            progress=tick,
        )
    finally:
        if bar.live.is_started:
            bar.stop()


def _write(scores: pd.DataFrame, out: Path) -> None:
    partial = out.with_name(f".{out.name}.partial")
    try:
        if out.suffix.lower() == ".parquet":
            scores.to_parquet(partial, index=False)
        else:
            scores.to_csv(partial, index=False, float_format="%.6g")
        os.replace(partial, out)
    except OSError as error:
        raise UsageError(
            f"cannot write {out}: {error.strerror or error}",
            remedy="choose a folder that you may write to, with room for the file",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
