"""Say which extra to install where the models' packages are missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from rtmlops_lib.errors import UsageError

__all__ = ["require_models_extra"]

_MODULES = ("mlflow", "sklearn", "skops", "matplotlib")


def require_models_extra() -> None:
    """Raise where a package of the extra ``models`` is missing.

    Raises
    ------
    UsageError
        Names the packages and the command that installs them.
    """
    missing = [name for name in _MODULES if not _is_there(name)]
    if missing:
        raise UsageError(
            f"models need packages that are not installed: {', '.join(missing)}",
            remedy="install them with: pip install 'rtmlops[models]'",
        )


def _is_there(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    return find_spec(name) is not None
