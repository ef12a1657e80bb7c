"""Say which extra to install where a command's packages are missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from rtmlops_lib.errors import UsageError

__all__ = ["require_api_extra"]

_API = ("fastapi", "uvicorn", "jinja2", "itsdangerous", "django_htmx")


def require_api_extra() -> None:
    """Raise where a package of the extra ``api`` is missing.

    Raises
    ------
    UsageError
        Names the packages and the command that installs them.
    """
    missing = [name for name in _API if not _is_there(name)]
    if missing:
        raise UsageError(
            f"the API needs packages that are not installed: {', '.join(missing)}",
            remedy="install them with: pip install 'rtmlops[api]'",
        )


def _is_there(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    return find_spec(name) is not None
