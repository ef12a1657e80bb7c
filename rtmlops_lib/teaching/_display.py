"""Rich output where there is a notebook, nothing elsewhere."""

from __future__ import annotations

from typing import Any

__all__ = ["display_bundle", "in_notebook"]


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def display_bundle(
    data: dict[str, str], metadata: dict[str, Any] | None = None, **options: Any
) -> Any:
    """Display a bundle of MIME types; without a notebook do nothing."""
    if not in_notebook():
        return None
    from IPython import display as rich

    display: Any = rich.display
    return display(data, metadata=metadata, raw=True, **options)
