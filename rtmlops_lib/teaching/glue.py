"""Values that the prose repeats."""

from __future__ import annotations

from rtmlops_lib.teaching._display import display_bundle

__all__ = ["glue"]

# The prefix under which MyST-NB looks for values of an executed notebook.
_PREFIX = "application/papermill.record/"


def glue(key: str, shown: str, label: str) -> None:
    """Print a formatted value and keep it, so that the prose can show the same.

    Parameters
    ----------
    key : str
        The prose's name for it: ``{glue:text}`key` ``.
    shown : str
        The value as readers see it, unit included.
    label : str
        What it is, for the printed line.

    Examples
    --------
    >>> glue("rate", f"{4512.3:,.0f} events/s", "stored")
    stored: 4,512 events/s
    """
    if not isinstance(shown, str):
        raise TypeError(
            f"glue needs the value as readers see it, a string; got {shown!r}: "
            'format it first, f"{value:,.0f}"'
        )
    print(f"{label}: {shown}")
    # Quoted, or MyST-NB would read "4,512" as a pair of numbers.
    display_bundle(
        {f"{_PREFIX}text/plain": repr(shown)},
        metadata={"scrapbook": {"name": key, "mime_prefix": _PREFIX}},
    )
