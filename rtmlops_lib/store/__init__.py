"""Where events end up, exactly once."""

from rtmlops_lib.store.anomaly_event import AnomalyEvent
from rtmlops_lib.store.contract import (
    BatchTooLarge,
    Claim,
    Position,
    RefusedRow,
    Snapshot,
    Store,
    StoreUnavailable,
    Takeover,
    TopicRef,
    Written,
)
from rtmlops_lib.store.model_event import ModelEvent

__all__ = [
    "AnomalyEvent",
    "BatchTooLarge",
    "Claim",
    "ModelEvent",
    "Position",
    "RefusedRow",
    "Snapshot",
    "Store",
    "StoreUnavailable",
    "Takeover",
    "TopicRef",
    "Written",
]
