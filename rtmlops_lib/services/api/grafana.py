"""Grafana's notifications (unified alerting, webhook format version 1)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rtmlops_lib.store import Alert, Severity

__all__ = ["GrafanaAlert", "GrafanaNotification"]

MOST_ALERTS = 2_000
# Deeper than anybody's values are, and far from where plain data cannot be walked.
DEEPEST = 50
_SEVERITIES: dict[str, Severity] = {
    "info": "info",
    "information": "info",
    "low": "info",
    "warning": "warning",
    "medium": "warning",
    "critical": "critical",
    "error": "critical",
    "high": "critical",
    "page": "critical",
}


def storable(value: Any, depth: int = 0) -> Any:
    r"""Return plain data that PostgreSQL can store: no NUL, nothing but numbers.

    What lies too deep is left out.

    Examples
    --------
    >>> storable({"a\x00": [float("nan"), "\ud800"]})
    {'a�': ['nan', '?']}
    """
    if isinstance(value, str):
        text = value.replace("\x00", "\ufffd")
        return text.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping | list) and depth >= DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {storable(str(k)): storable(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [storable(item, depth + 1) for item in value]
    return value


# A function of one argument, for the validator; and before anything walks the values.
Storable = BeforeValidator(lambda value: storable(value))


class GrafanaAlert(BaseModel):
    """One alert of a notification; what we do not know of is left out.

    Examples
    --------
    >>> alert = GrafanaAlert(
    ...     status="firing", labels={"alertname": "Error", "severity": "page"}
    ... )
    >>> alert.to_alert().severity
    'critical'
    """

    model_config = ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    startsAt: str | None = None  # noqa: N815 - Grafana's names
    endsAt: str | None = None  # noqa: N815
    values: Annotated[dict[str, Any] | None, Storable] = None
    valueString: str | None = None  # noqa: N815
    generatorURL: str | None = None  # noqa: N815
    dashboardURL: str | None = None  # noqa: N815
    panelURL: str | None = None  # noqa: N815
    silenceURL: str | None = None  # noqa: N815
    fingerprint: str = ""

    @property
    def key(self) -> str:
        """What it is known by until it is resolved: Grafana's hash of its labels."""
        if self.fingerprint:
            return str(storable(self.fingerprint))[:200]
        text = "\x1f".join(f"{k}\x1e{v}" for k, v in sorted(self.labels.items()))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def asks_for_training(self) -> bool:
        """Whether its rule was labelled so."""
        return self.status == "firing" and self.labels.get("action") == "retrain"

    def to_alert(self) -> Alert:
        """Return it as our alert book keeps it."""
        name = self.labels.get("alertname", "") or "unnamed"
        said = [self.annotations.get(n, "") for n in ("summary", "description")]
        message = next((text for text in said if text.strip()), name)
        detail = self.model_dump(exclude={"status", "fingerprint"}, exclude_none=True)
        return Alert(
            key=self.key,
            kind=storable(name)[:200],
            severity=_SEVERITIES.get(
                self.labels.get("severity", "").lower(), "warning"
            ),
            message=storable(message)[:2_000],
            stream=storable(self.labels["stream"])[:200]
            if self.labels.get("stream")
            else None,
            detail=storable(detail),
        )


class GrafanaNotification(BaseModel):
    """What Grafana 9.4 to 12 send to a webhook."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "receiver": "rtmlops",
                    "status": "firing",
                    "orgId": 1,
                    "version": "1",
                    "alerts": [
                        {
                            "status": "firing",
                            "labels": {
                                "alertname": "Live error",
                                "severity": "critical",
                                "action": "retrain",
                                "stream": "datacenter",
                            },
                            "annotations": {"summary": "MAPE is 9 %"},
                            "startsAt": "2026-11-23T12:00:00Z",
                            "endsAt": "0001-01-01T00:00:00Z",
                            "fingerprint": "c6eadffa33fcdf37",
                            "values": {"B": 0.09},
                        }
                    ],
                }
            ]
        },
    )

    receiver: str | None = None
    status: Literal["firing", "resolved"] | None = None
    alerts: Annotated[list[GrafanaAlert], Field(max_length=MOST_ALERTS)]
