"""What the API takes and gives, as its documentation shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from rtmlops_lib.models.known_model import ModelKind
from rtmlops_lib.store import JobState, RetrainJob

__all__ = [
    "AlertList",
    "AlertSeen",
    "CancelRequest",
    "EventSeen",
    "GrafanaAnswer",
    "JobList",
    "JobSeen",
    "ModelList",
    "ModelSeen",
    "Moved",
    "Problem",
    "PromoteRequest",
    "RetrainRequest",
    "RetrainSeen",
    "RollbackRequest",
    "VersionSeen",
]


def _text_only(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a moment is a text: 2026-11-23T12:00:00Z")
    return value


def _whole(value: Any) -> Any:
    """Take 3.0 for 3: to JSON they are one number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


# PostgreSQL stores no NUL.
Text = Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=500)]
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text_only)]
VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(_whole)]


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Answer):
    """What went wrong, and what to try."""

    error: str
    remedy: str | None = None
    fields: list[str] = Field(
        default_factory=list, description="What is wrong where, in the request."
    )


class RetrainRequest(_Request):
    """Which model, and why."""

    stream: Annotated[str, Field(min_length=1, max_length=200)] = "datacenter"
    kind: ModelKind = "power"
    trigger: Literal["manual", "schedule", "error_alert"] = "manual"
    reason: Text = ""
    requested_by: Text = ""
    change_point: Moment | None = Field(
        default=None,
        description="Use only events after this moment: the error grew then.",
    )


class CancelRequest(_Request):
    """Why the training is not wanted any more."""

    reason: Text = ""


class PromoteRequest(_Request):
    """Which version shall serve."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"force": {"const": True}}, "required": ["force"]},
            "then": {
                "properties": {"reason": {"pattern": r"\S"}},
                "required": ["reason"],
            },
        }
    )

    version: VersionNumber
    to: Literal["champion", "challenger"] = "champion"
    force: bool = Field(default=False, description="Overrule the gate; needs a reason.")
    reason: Text = ""

    @model_validator(mode="after")
    def _forced_with_a_reason(self) -> Self:
        if self.force and not self.reason.strip():
            raise ValueError("to overrule the gate needs a reason")
        return self


class RollbackRequest(_Request):
    """Why the champion has to go."""

    reason: Annotated[str, Field(pattern=r"^[^\x00]*\S[^\x00]*$", max_length=500)]


class JobSeen(_Answer):
    """One training that was asked for."""

    id: str
    model_name: str
    stream: str
    kind: str
    state: JobState
    trigger: str
    reason: str
    requested_by: str
    options: dict[str, Any]
    requested_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    attempts: int
    step: str
    version: int | None
    outcome: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, job: RetrainJob) -> JobSeen:
        """Show a job."""
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class JobList(_Answer):
    """Jobs, newest first."""

    jobs: list[JobSeen]


class VersionSeen(_Answer):
    """One registered version."""

    version: int
    aliases: list[str]
    made: datetime
    kind: str | None
    rows: int | None
    metrics: dict[str, float]
    window_end: str | None
    gate: str | None = Field(description="What the gate said when it was trained.")
    rolled_back: str | None = Field(description="Why, where it was.")


class ModelSeen(_Answer):
    """A model that a stream can have, trained or not."""

    name: str
    stream: str
    kind: ModelKind
    champion: int | None
    challenger: int | None
    previous: int | None
    versions: list[VersionSeen]


class ModelList(_Answer):
    """All models."""

    models: list[ModelSeen]


class EventSeen(_Answer):
    """The move of an alias, or another decision about a version."""

    action: str
    alias: str | None
    from_version: int | None
    to_version: int | None
    forced: bool
    reason: str


class Moved(_Answer):
    """What became of a promotion or rollback."""

    model: str
    promoted: bool
    gate: dict[str, Any] | None = Field(
        default=None, description="The verdict; null where the gate was not asked."
    )
    events: list[EventSeen]


class AlertSeen(_Answer):
    """One alert; ``state`` is what became of it."""

    id: int
    raised_at: datetime
    updated_at: datetime
    source: str
    kind: str
    severity: str
    stream: str | None
    message: str
    key: str | None
    times_reported: int
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    detail: dict[str, Any]


class AlertList(_Answer):
    """Alerts, newest first."""

    alerts: list[AlertSeen]


class RetrainSeen(_Answer):
    """What an alert that asks for a training led to."""

    model: str
    result: Literal["queued", "open", "cooldown", "unknown_model"]
    job: JobSeen | None = None
    retry_after: int | None = Field(default=None, description="Seconds.")


class GrafanaAnswer(_Answer):
    """What was made of a notification."""

    recorded: list[int] = Field(description="Alerts that are open, by id.")
    resolved: list[int] = Field(description="Alerts that were closed, by id.")
    retrain: list[RetrainSeen]
