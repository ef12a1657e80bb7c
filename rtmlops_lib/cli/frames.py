"""Anybody's file of rows, read whole, or a message that helps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_frame"]

_FORMATS = (".csv", ".parquet")


def read_frame(path: Path, option: str) -> pd.DataFrame:
    """Return the rows of a CSV or Parquet file.

    Parameters
    ----------
    option : str
        Which option named it, for messages.

    Raises
    ------
    UsageError
        For a file that is not there, is empty, is neither, or is separated by
        something other than commas.
    """
    import pandas as pd
    import pyarrow as pa

    if not path.is_file():
        raise UsageError(
            f"{option} {path} is no file", remedy="give the name of a file that exists"
        )
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"{option} {path} ends neither in .csv nor in .parquet",
            remedy="give a CSV or a Parquet file",
        )
    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, low_memory=False)
    except pd.errors.EmptyDataError:
        raise UsageError(
            f"{option} {path} is empty", remedy="give a file with a header and rows"
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        # ParserError and UnicodeDecodeError are ValueErrors.
        _refuse_other_separators(path, option)
        cause = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(
            f"cannot read {path}: {cause}",
            remedy="give UTF-8 text with commas and a header line, or Parquet",
        ) from error
    if path.suffix.lower() == ".csv":
        _refuse_other_separators(path, option)
    if isinstance(frame.index, pd.DatetimeIndex):
        name = str(frame.index.name or "time")
        frame = frame.reset_index(names=name)
    if len(frame) == 0:
        raise UsageError(f"{option} {path} has no rows", remedy="give a file with rows")
    return frame


def _refuse_other_separators(path: Path, option: str) -> None:
    with path.open("rb") as file:
        header = file.readline(65_536)
    for mark, name in ((b";", "semicolons"), (b"\t", "tabs")):
        if header.count(mark) > header.count(b","):
            raise UsageError(
                f"{option} {path} is separated by {name}, not by commas",
                remedy="save it with commas between columns and points in numbers "
                "(pandas: read_csv(path, sep=';', decimal=','), then to_csv)",
            )
