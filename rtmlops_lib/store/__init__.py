"""Where events end up, exactly once."""

from rtmlops_lib.store.contract import (
    BatchTooLarge,
    Claim,
    Position,
    RefusedRow,
    Store,
    StoreUnavailable,
    Takeover,
    TopicRef,
    Written,
)
from rtmlops_lib.store.model_event import ModelEvent

__all__ = [
    "BatchTooLarge",
    "Claim",
    "ModelEvent",
    "Position",
    "RefusedRow",
    "Store",
    "StoreUnavailable",
    "Takeover",
    "TopicRef",
    "Written",
]
