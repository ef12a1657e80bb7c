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

__all__ = [
    "BatchTooLarge",
    "Claim",
    "Position",
    "RefusedRow",
    "Store",
    "StoreUnavailable",
    "Takeover",
    "TopicRef",
    "Written",
]
