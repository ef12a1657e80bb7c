"""Named ways to behave, as data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from rtmlops_lib.errors import UsageError
from rtmlops_lib.simulator.anomaly import ANOMALIES

__all__ = ["Profile", "load_profile", "profiles"]


class Profile(BaseModel):
    """Defaults of one way to behave; flags replace them one by one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    servers: int = Field(ge=1, le=10_000)
    interval_seconds: float = Field(ge=0.1, le=300)
    anomaly_prob: float = Field(ge=0, le=0.5)
    duration_scale: float = Field(default=1.0, ge=0.05, le=10)
    mix: dict[str, float]

    @field_validator("mix")
    @classmethod
    def _known_types(cls, mix: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(mix) - set(ANOMALIES))
        if unknown:
            raise ValueError(f"unknown anomaly types {unknown}")
        if min(mix.values(), default=0.0) < 0 or sum(mix.values()) <= 0:
            raise ValueError("weights must not be negative, and one must be positive")
        return mix


@cache
def profiles() -> Mapping[str, Profile]:
    """Return all profiles by name.

    Examples
    --------
    >>> list(profiles())
    ['normal', 'chaos', 'temperature', 'network', 'production', 'dev']
    """
    text = (files("rtmlops_lib.simulator") / "profiles.yaml").read_text("utf-8")
    raw = yaml.safe_load(text)
    return MappingProxyType(
        {name: Profile(name=name, **values) for name, values in raw.items()}
    )


def load_profile(name: str) -> Profile:
    """Return one profile.

    Raises
    ------
    UsageError
        When there is none of that name.
    """
    try:
        return profiles()[name]
    except KeyError:
        raise UsageError(
            f"--profile knows no {name!r}",
            remedy=f"give one of {', '.join(profiles())}",
        ) from None
