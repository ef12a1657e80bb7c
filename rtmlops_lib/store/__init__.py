"""Where events end up, exactly once."""

from rtmlops_lib.store.alert import Alert, Severity
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
from rtmlops_lib.store.probation import Probation, ProbationState
from rtmlops_lib.store.retrain_job import JobState, RetrainJob

__all__ = [
    "Alert",
    "AnomalyEvent",
    "BatchTooLarge",
    "Claim",
    "JobState",
    "ModelEvent",
    "Position",
    "Probation",
    "ProbationState",
    "RefusedRow",
    "RetrainJob",
    "Severity",
    "Snapshot",
    "Store",
    "StoreUnavailable",
    "Takeover",
    "TopicRef",
    "Written",
]
