"""The local live stack and its doctor; only ``teaching`` and ``cli`` import it.

Nothing is imported until it is used: the parts are packages of the extra ``local``,
and the library must work without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtmlops_lib.stack._reporter import Reporter
    from rtmlops_lib.stack.description import PartStatus, StackInfo
    from rtmlops_lib.stack.doctor import Check, examine
    from rtmlops_lib.stack.local import LocalStack

__all__ = ["Check", "LocalStack", "PartStatus", "Reporter", "StackInfo", "examine"]

_HOMES = {
    "Check": "doctor",
    "LocalStack": "local",
    "PartStatus": "description",
    "Reporter": "_reporter",
    "StackInfo": "description",
    "examine": "doctor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from rtmlops_lib.stack._require import require_local_extra

    require_local_extra()
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
