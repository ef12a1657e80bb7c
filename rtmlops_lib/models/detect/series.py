"""Which series each event belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.streams import ColumnBatch

__all__ = ["series_of"]


def series_of(events: ColumnBatch) -> NDArray[Any]:
    """Return each event's series: a name, or a tuple where several fields name it."""
    keys = [events.columns[name] for name in events.spec.series_key]
    if len(keys) == 1:
        return keys[0]
    names = np.empty(len(events), object)
    names[:] = list(zip(*(key.tolist() for key in keys), strict=True))
    return names
