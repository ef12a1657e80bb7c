"""Training rows: from the store, or from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.errors import TooFewRows
from rtmlops_lib.models.features import Features
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["rows_of_file", "rows_of_store"]


def rows_of_store(
    store: PostgresStore,
    spec: StreamSpec,
    *,
    since: datetime,
    until: datetime | None = None,
    fields: Sequence[str] | None = None,
    on_rows: Callable[[int], None] = lambda count: None,
) -> tuple[pd.DataFrame, NDArray[np.bool_] | None]:
    """Return stored events, and which of them a detector flagged.

    The second is None where no flags exist. ``on_rows`` is told the number so far.
    Without ``fields`` those are read that the model of the stream's target needs.
    """
    import pandas as pd

    if fields is None:
        fields = (*Features.of_spec(spec).inputs, spec.target or "")

    columns = list(
        dict.fromkeys(
            [
                spec.time.field,
                *spec.identity_fields,
                *spec.series_key,
                *fields,
                "kafka_partition",
                "kafka_offset",
            ]
        )
    )
    parts, count = [], 0
    for part in store.read_chunks(spec, since=since, until=until, columns=columns):
        parts.append(part)
        count += len(part)
        on_rows(count)
    if not parts:
        raise TooFewRows(
            f"stream {spec.name!r} has no stored events since {since:%Y-%m-%d %H:%M}Z",
            remedy="run 'rtmlops consume storage', or give a longer --since",
        )
    frame = pd.concat(parts, ignore_index=True)
    flags = store.flagged(spec, since=since, until=until)
    if flags is None:
        return frame, None
    keys = [spec.time.field, *spec.identity_fields]
    found = frame[keys].merge(
        flags.drop_duplicates().assign(_flagged=True), on=keys, how="left"
    )
    return frame, found["_flagged"].notna().to_numpy(np.bool_)


def rows_of_file(
    path: Path, spec: StreamSpec
) -> tuple[pd.DataFrame, NDArray[np.bool_] | None]:
    """Return the rows of a CSV or Parquet file, as ``rtmlops export`` writes them.

    A boolean column ``flagged``, if there is one, names rows to leave out.

    Raises
    ------
    UsageError
        For a file that cannot be read, or without a column that is needed.
    """
    import pandas as pd

    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    reader = readers.get(path.suffix)
    if reader is None:
        raise UsageError(
            f"--from-file {path} ends neither in .csv nor in .parquet",
            remedy="give a file that 'rtmlops export' wrote, or one like it",
        )
    try:
        frame = reader(path)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot read {path}: {error}",
            remedy="give a file that 'rtmlops export' wrote, or one like it",
        ) from error
    time = spec.time.field
    if time not in frame.columns:
        raise UsageError(
            f"{path} has no column {time!r}",
            remedy=f"stream {spec.name!r} has its time there",
        )
    try:
        frame[time] = pd.to_datetime(frame[time], utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"column {time!r} of {path} holds no times: {error}",
            remedy="write them as 2025-09-30T12:00:00Z",
        ) from error
    if "flagged" in frame.columns:
        return frame, frame["flagged"].fillna(False).to_numpy(np.bool_)
    return frame, None
