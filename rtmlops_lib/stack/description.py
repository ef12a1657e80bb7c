"""What the stack says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

__all__ = ["PartStatus", "StackInfo"]


@dataclass(frozen=True, slots=True)
class StackInfo:
    """Where a running stack is reached."""

    home: Path
    kafka_bootstrap_servers: str
    database_url: str
    mlflow_tracking_uri: str
    postgres: str


@dataclass(frozen=True, slots=True)
class PartStatus:
    """What ``rtmlops status`` shows of one part or service."""

    name: str
    state: str
    pid: int | None
    port: int | None
    since: datetime | None
    memory_bytes: int
