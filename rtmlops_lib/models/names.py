"""What a stream's model is called, and where its files are kept."""

from __future__ import annotations

import re
from pathlib import Path

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["detector_name", "model_folder", "model_name"]


def model_name(settings: Settings, spec: StreamSpec) -> str:
    """Return the registered name of the model of a stream's target.

    The prefix of topics stands before it, too: what a chapter trains is its own.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> spec = builtin_specs()["datacenter"]
    >>> model_name(Settings(topic_prefix="ch05-"), spec)
    'ch05-datacenter-power_kw'
    """
    if spec.target is None:
        raise UsageError(
            f"stream {spec.name!r} has no target to predict",
            remedy="name one in its spec: 'target: <a number field>'",
        )
    return f"{settings.topic_prefix}{spec.name}-{spec.target}"


def detector_name(settings: Settings, spec: StreamSpec) -> str:
    """Return the registered name of the forest that a stream's detector asks.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> detector_name(Settings(topic_prefix="ch07-"), builtin_specs()["services"])
    'ch07-services-detector'
    """
    return f"{settings.topic_prefix}{spec.name}-detector"


def model_folder(settings: Settings, name: str) -> Path:
    """Return where verified files of a model are kept for when MLflow is away."""
    return settings.home / "models" / re.sub(r"[^A-Za-z0-9._-]", "_", name)
