"""One anomaly of one series, as the store keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AnomalyEvent"]

# An index entry holds some 2,700 bytes; the other columns need a few hundred.
_KEY_BYTES = 1_500


@dataclass(frozen=True, slots=True)
class AnomalyEvent:
    """An episode: told of once, however many rows it has, and kept up to date.

    ``stream``, ``series``, ``detector`` and ``started_at`` make it what it is.

    Parameters
    ----------
    stream : str
    series : mapping of str to str
        The series' keys and their values, in the spec's order.
    detector : str
    started_at, ended_at, peak_at, confirmed_at : int
        Microseconds since 1970: the first and last conspicuous row, the one with the
        highest score, and the one at which it was first told of.
    peak_score : float
    severity : str
    metric : str, optional
        Responsible at the peak.
    explanation : str
        A sentence on the peak.
    state : str
        ``open`` or ``closed``.
    flagged_rows : int
        Conspicuous rows so far.
    """

    stream: str
    series: Mapping[str, str]
    detector: str
    started_at: int
    ended_at: int
    peak_at: int
    confirmed_at: int
    peak_score: float
    severity: str
    metric: str | None
    explanation: str
    state: str
    flagged_rows: int

    @property
    def series_key(self) -> str:
        """The series as one text, unequal for unequal series.

        Examples
        --------
        >>> def key(**series):
        ...     return AnomalyEvent(
        ...         "s", series, "d", 0, 0, 0, 0, 1.0, "high", None, "", "open", 1
        ...     ).series_key
        >>> key(server_id="srv-07"), key(service="web", server_id="srv-07")
        ('srv-07', 'web/srv-07')
        """
        values = list(self.series.values())
        if len(values) > 1:
            values = [v.replace("\\", "\\\\").replace("/", "\\/") for v in values]
        text = "/".join(values)
        data = text.encode("utf-8", "surrogatepass")
        if len(data) <= _KEY_BYTES:
            return text
        head = data[: _KEY_BYTES - 80].decode("utf-8", "ignore")
        return f"{head}#{hashlib.sha256(data).hexdigest()}"
