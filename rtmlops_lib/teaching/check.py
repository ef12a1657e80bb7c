"""Checks that say what is right, or why it probably is not."""

from __future__ import annotations

from rtmlops_lib.errors import CheckFailed

__all__ = ["LessonStopped", "check"]


class LessonStopped(CheckFailed):
    """A chapter cannot go on; a notebook shows the message without a stack trace."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for its own rendering under this name.
        return [str(self)]


def check(condition: object, *, ok: str, hint: str, see: str) -> None:
    """Print a ✓ line, or stop the chapter with the likely cause.

    Parameters
    ----------
    condition : object
        What should be true.
    ok : str
        What is known now, as a sentence without its full stop.
    hint : str
        The likely cause where it is not true.
    see : str
        The label of the section of the troubleshooting page that helps.

    Raises
    ------
    LessonStopped
        When ``condition`` is false.

    Examples
    --------
    >>> check(1 + 1 == 2, ok="sums are right", hint="…", see="check-failed")
    ✓ sums are right
    """
    if condition:
        print(f"✓ {ok}")
        return
    raise LessonStopped(
        f"✗ not so: {ok}\n  likely cause: {hint}",
        remedy=f"see “{see}” in book/troubleshooting.md",
    )
