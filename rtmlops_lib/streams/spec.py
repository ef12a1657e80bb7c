"""What a stream is: its topic, its keys, its fields, its table."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from rtmlops_lib.errors import SpecError

__all__ = [
    "FieldSpec",
    "FieldType",
    "ModelInputs",
    "StreamSpec",
    "TimeFormat",
    "TimeSpec",
]

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,47}")
# Columns that every table has beside the spec's own.
RESERVED_COLUMNS = frozenset(
    {"attributes", "ingest_time", "kafka_partition", "kafka_offset"}
)


class FieldType(StrEnum):
    """Types a field may have; each maps to one column type of the store."""

    NUMBER = "number"  # 64-bit float, finite
    INTEGER = "integer"  # 64-bit signed
    STRING = "string"
    BOOLEAN = "boolean"
    TIME = "time"  # an instant, ISO 8601 with an offset


class TimeFormat(StrEnum):
    """How an event's time is written."""

    ISO8601 = "iso8601"
    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"
    EPOCH_US = "epoch_us"


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key given twice, of which YAML would keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for at, key in enumerate(keys):
            if key in keys[:at]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice", node.value[at][0].start_mark
                )
        return super().construct_mapping(node, deep)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldSpec(_Frozen):
    """One typed field of an event.

    Bounds are physical impossibility (a negative CPU load), not abnormality:
    an anomalous value lies inside them.
    """

    type: FieldType = FieldType.NUMBER
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> FieldSpec:
        bounded = self.minimum is not None or self.maximum is not None
        if bounded and self.type not in (FieldType.NUMBER, FieldType.INTEGER):
            raise ValueError(f"bounds need a number or integer, got {self.type}")
        if (
            self.minimum is not None
            and self.maximum is not None
            and self.minimum > self.maximum
        ):
            raise ValueError(f"minimum {self.minimum} exceeds maximum {self.maximum}")
        return self


class TimeSpec(_Frozen):
    """Where an event's time stands and how far from its record it may lie.

    Both limits compare the event's time with the Kafka record's timestamp, never
    with the reader's clock, so that every reading reaches the same verdict.
    """

    field: str = "time"
    format: TimeFormat = TimeFormat.ISO8601
    max_future_seconds: float = Field(default=600.0, ge=0)
    max_age_seconds: float | None = Field(default=None, gt=0)


class ModelInputs(_Frozen):
    """What a model of the target may see of an event; nothing else reaches it.

    Parameters
    ----------
    inputs : tuple of str
        Numeric fields of the same event.
    increasing : tuple of str
        Inputs of which more never predicts less of the target.
    cycles : tuple of {"day", "week"}
        Cycles in which the event's time is placed (sine and cosine).
    """

    inputs: tuple[str, ...] = Field(min_length=1)
    increasing: tuple[str, ...] = ()
    cycles: tuple[Literal["day", "week"], ...] = ("day",)


class StreamSpec(_Frozen):
    """Everything the pipeline knows of a stream; the code knows nothing more.

    Parameters
    ----------
    name, topic, table : str
        The stream's name, its Kafka topic, its table.
    time : TimeSpec
        The event's time.
    partition_key : str
        The field that producers use as the record's key.
    series_key : tuple of str
        The fields that name one time series (a server; a service on a server).
    identity : tuple of str
        The fields, time among them, that make two events the same event.
    fields : dict of str to FieldSpec
        The typed fields except time. What a spec does not name is kept as
        ``attributes``.
    target : str, optional
        The field that a model predicts.
    model : ModelInputs, optional
        What that model sees; by default all other numeric fields and the hour.
    derived : bool
        Whether services compute these rows from another stream's events. A row that
        is there already then stays and is counted, whatever a second one says.
    watched : bool
        Whether detectors look at it: not at one whose numbers are no measurements.
    rollups : bool
        Whether ``<table>_1m`` and ``<table>_1h`` exist.
    partitions : int
        Partitions of the topic when we create it.
    retention_days : float, optional
        Age beyond which rows are dropped, and events refused on arrival; None keeps
        and takes all.
    max_key_bytes : int
        Longest accepted record key and identity string, in bytes.

    Raises
    ------
    SpecError
        When the parts contradict one another (from ``load`` and ``from_dict``).

    Notes
    -----
    Taught in chapter 02; ``rtmlops stream show`` prints one.
    """

    name: str
    topic: str
    table: str
    description: str = ""
    time: TimeSpec = TimeSpec()
    partition_key: str
    series_key: tuple[str, ...]
    identity: tuple[str, ...]
    fields: dict[str, FieldSpec]
    target: str | None = None
    model: ModelInputs | None = None
    derived: bool = False
    watched: bool = True
    rollups: bool = True
    partitions: int = Field(default=3, ge=1)
    retention_days: float | None = Field(default=None, gt=0)
    max_key_bytes: int = Field(default=512, ge=1, le=2048)
    max_value_bytes: int = Field(default=1_000_000, ge=1)

    @field_validator("series_key", "identity", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _parts_agree(self) -> StreamSpec:
        for name in (self.name, self.table, self.time.field, *self.fields):
            if not IDENTIFIER.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no identifier: lower-case letters, digits and _, "
                    "starting with a letter, at most 48 characters"
                )
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", self.topic):
            raise ValueError(f"{self.topic!r} is no Kafka topic name")
        clash = RESERVED_COLUMNS & {*self.fields, self.time.field}
        if clash:
            raise ValueError(f"{sorted(clash)} are reserved column names")
        if self.time.field in self.fields:
            raise ValueError(f"{self.time.field!r} is the time, not one of the fields")
        if self.time.field not in self.identity:
            raise ValueError(f"identity must contain the time {self.time.field!r}")
        for role, names in (
            ("partition_key", (self.partition_key,)),
            ("series_key", self.series_key),
            ("identity", self.identity),
        ):
            for name in names:
                if role == "identity" and name == self.time.field:
                    continue
                field = self.fields.get(name)
                if field is None:
                    raise ValueError(f"{role} {name!r} is not among the fields")
                if field.type is not FieldType.STRING or not field.required:
                    raise ValueError(f"{role} {name!r} must be a required string")
        if self.target is not None:
            target = self.fields.get(self.target)
            if target is None or target.type is not FieldType.NUMBER:
                raise ValueError(f"target {self.target!r} must be a number field")
        self._check_model()
        return self

    def _check_model(self) -> None:
        if self.model is None:
            return
        if self.target is None:
            raise ValueError("model needs a target")
        for name in self.model.inputs:
            if name == self.target:
                raise ValueError(f"model must not see the target {name!r}")
            field = self.fields.get(name)
            if field is None or field.type not in (
                FieldType.NUMBER,
                FieldType.INTEGER,
            ):
                raise ValueError(f"model input {name!r} must be a numeric field")
        strangers = set(self.model.increasing) - set(self.model.inputs)
        if strangers:
            raise ValueError(f"increasing {sorted(strangers)} are not among the inputs")

    @classmethod
    def from_dict(cls, raw: dict[str, Any], *, source: str = "spec") -> StreamSpec:
        """Build a spec from plain data; ``source`` names it in errors."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            faults = (
                ".".join(map(str, fault["loc"]))
                + ": " * bool(fault["loc"])
                + fault["msg"].removeprefix("Value error, ")
                for fault in error.errors()
            )
            raise SpecError(
                f"{source} is no valid stream: {'; '.join(faults)}",
                remedy="compare it with 'rtmlops stream show datacenter'",
            ) from error

    @classmethod
    def load(cls, path: Path | str) -> StreamSpec:
        """Read a spec from a YAML file."""
        path = Path(path)
        try:
            raw = yaml.load(path.read_text(encoding="utf-8"), _EachKeyOnce)  # noqa: S506
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise SpecError(
                f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
                remedy="a spec is a YAML file such as 'rtmlops stream show datacenter'",
            ) from error
        if not isinstance(raw, dict):
            raise SpecError(
                f"{path} holds no mapping",
                remedy="a spec is a YAML file such as 'rtmlops stream show datacenter'",
            )
        return cls.from_dict(raw, source=str(path))

    def evolve(self, **changes: Any) -> StreamSpec:
        """Return a copy with some parts changed, validated anew.

        Examples
        --------
        >>> from rtmlops_lib.streams import builtin_specs
        >>> builtin_specs()["datacenter"].evolve(topic="ch03-metrics").topic
        'ch03-metrics'
        """
        return self.from_dict({**self.model_dump(), **changes}, source=self.name)

    def to_yaml(self) -> str:
        """Return the spec as the text of a YAML file that ``load`` reads back.

        What equals its default is left out, save the time and the fields' types.

        Examples
        --------
        >>> from rtmlops_lib.streams import builtin_specs
        >>> spec = builtin_specs()["services"]
        >>> StreamSpec.from_dict(yaml.safe_load(spec.to_yaml())) == spec
        True
        """
        plain = self.model_dump(mode="json", exclude_defaults=True)
        plain["time"] = {
            "field": self.time.field,
            "format": self.time.format.value,
            **plain.get("time", {}),
        }
        plain["fields"] = {
            name: {"type": field.type.value, **plain["fields"][name]}
            for name, field in self.fields.items()
        }
        # Leaves on one line each, in the order of the class.
        return yaml.safe_dump(
            plain,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=None,
            width=1_000,
        )

    @cached_property
    def max_age_seconds(self) -> float | None:
        """How far an event's time may lie before its record's; None: any distance.

        What retention would drop at once is not taken in.

        Examples
        --------
        >>> from rtmlops_lib.streams import builtin_specs
        >>> builtin_specs()["datacenter"].evolve(retention_days=2).max_age_seconds
        172800.0
        """
        limits = [
            seconds
            for seconds in (
                self.time.max_age_seconds,
                self.retention_days and self.retention_days * 86_400.0,
            )
            if seconds is not None
        ]
        return min(limits, default=None)

    @cached_property
    def identity_fields(self) -> tuple[str, ...]:
        """The identity without the time."""
        return tuple(name for name in self.identity if name != self.time.field)

    @cached_property
    def numeric_fields(self) -> tuple[str, ...]:
        """The number and integer fields, in order."""
        numeric = (FieldType.NUMBER, FieldType.INTEGER)
        return tuple(n for n, f in self.fields.items() if f.type in numeric)
