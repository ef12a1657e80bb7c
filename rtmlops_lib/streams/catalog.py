"""The built-in streams, each defined only by its YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import yaml

from rtmlops_lib.errors import UsageError
from rtmlops_lib.streams.spec import StreamSpec

__all__ = ["builtin_specs", "resolve_spec"]


@cache
def builtin_specs() -> Mapping[str, StreamSpec]:
    """Return the built-in streams by name.

    Examples
    --------
    >>> sorted(builtin_specs())
    ['datacenter', 'labels', 'services']
    """
    folder = files("rtmlops_lib.streams") / "builtin"
    specs = {}
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".yaml"):
            raw = yaml.safe_load(entry.read_text(encoding="utf-8"))
            spec = StreamSpec.from_dict(raw, source=entry.name)
            specs[spec.name] = spec
    return MappingProxyType(specs)


def resolve_spec(name_or_path: str) -> StreamSpec:
    """Return a built-in stream by name, or the one in a YAML file.

    Raises
    ------
    UsageError
        When there is neither.
    """
    specs = builtin_specs()
    if name_or_path in specs:
        return specs[name_or_path]
    if name_or_path.endswith((".yaml", ".yml")) or Path(name_or_path).is_file():
        return StreamSpec.load(name_or_path)
    raise UsageError(
        f"no stream is called {name_or_path!r}; built in are {', '.join(specs)}",
        remedy="give one of these or the path of a spec's YAML file",
    )
