"""Specs, and a decoder of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rtmlops_lib.streams import (
    Decoded,
    JsonCodec,
    StreamSpec,
    builtin_specs,
)
from tests.unit.streams.streams_samples import raw_records


@pytest.fixture(scope="session")
def datacenter() -> StreamSpec:
    return builtin_specs()["datacenter"]


@pytest.fixture(scope="session")
def every_type() -> StreamSpec:
    """A spec with each type of field, required and not."""
    fields: dict[str, Any] = {"key": {"type": "string", "required": True}}
    for kind in ("number", "integer", "string", "boolean", "time"):
        fields[f"{kind}_needed"] = {"type": kind, "required": True}
        fields[f"{kind}_free"] = {"type": kind}
    return StreamSpec.from_dict(
        {
            "name": "every_type",
            "topic": "every-type",
            "table": "every_type",
            "partition_key": "key",
            "series_key": "key",
            "identity": ["key", "time"],
            "max_key_bytes": 16,
            "fields": fields,
        }
    )


@pytest.fixture
def decode(datacenter: StreamSpec) -> Callable[..., Decoded]:
    def run(*values: bytes | None, spec: StreamSpec = datacenter, **kw: Any) -> Decoded:
        return JsonCodec(spec).decode(raw_records(values, **kw))

    return run
