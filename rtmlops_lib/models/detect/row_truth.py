"""Which rows lie in an anomaly, type by type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.detect.average_precision import average_precision
from rtmlops_lib.models.detect.label import Label
from rtmlops_lib.models.detect.replay import Replay

__all__ = ["precision_by_type", "row_truth"]


def row_truth(labels: Iterable[Label], rows: Replay) -> dict[str, NDArray[np.bool_]]:
    """Return for each type of anomaly which rows it befell.

    Parameters
    ----------
    labels : iterable of Label
    rows : Replay
        n rows. Where their series are ``(service, server_id)``, an anomaly of one
        service befalls its rows alone, one of a server those of all its services.

    Returns
    -------
    dict of str to ndarray of bool, shape (n,)
    """
    order = np.lexsort((rows.time, rows.series))
    series, time = rows.series[order], rows.time[order]
    edges = np.searchsorted(series, np.arange(len(rows.names) + 1))
    of_server: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(rows.names):
        of_server[_server(name)].append(place)
    found: dict[str, NDArray[np.bool_]] = {}
    for label in labels:
        mask = found.setdefault(label.kind, np.zeros(len(order), np.bool_))
        for place in of_server[label.server]:
            if label.service not in (None, _service(rows.names[place])):
                continue
            low, high = int(edges[place]), int(edges[place + 1])
            first = low + np.searchsorted(time[low:high], label.started_at)
            stop = low + np.searchsorted(time[low:high], label.ended_at, "right")
            mask[order[first:stop]] = True
    return found


def precision_by_type(
    labels: Iterable[Label], rows: Replay, *, since: int = 0
) -> dict[str, float]:
    """Return the area under the precision-recall curve of each type, over rows.

    Every row counts as itself: one flagged row does not vouch for a whole anomaly.
    Rows of other types' anomalies are left out: to flag them is right, too.

    Parameters
    ----------
    labels : iterable of Label
    rows : Replay
    since : int
        Rows before (µs) are left out.
    """
    truth = row_truth(labels, rows)
    if not truth:
        return {}
    struck = np.logical_or.reduce(list(truth.values()))
    kept = rows.time >= since
    return {
        kind: average_precision(mask[rest], rows.score[rest])
        for kind, mask in sorted(truth.items())
        for rest in [kept & (mask | ~struck)]
    }


def _server(name: Any) -> str:
    return str(name[-1] if isinstance(name, tuple) else name)


def _service(name: Any) -> str | None:
    return name[0] if isinstance(name, tuple) else None
