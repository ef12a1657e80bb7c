"""Where events end up, exactly once."""

from rtmlops_lib.store.contract import (
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
    "Claim",
    "Position",
    "RefusedRow",
    "Store",
    "StoreUnavailable",
    "Takeover",
    "TopicRef",
    "Written",
]
