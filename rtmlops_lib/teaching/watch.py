"""A figure that is drawn again and again while something happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rtmlops_lib.teaching._display import in_notebook
from rtmlops_lib.teaching.check import LessonStopped

__all__ = ["watch"]


def watch(
    draw: Callable[..., object],
    *,
    timeout: float,
    what: str,
    panels: int = 1,
    figsize: tuple[float, float] = (6.2, 3.5),
    every: float = 0.5,
) -> None:
    """Draw one figure in place until ``draw`` returns something true.

    Parameters
    ----------
    draw : callable
        Takes the axes, top to bottom, which are empty at each call.
    timeout : float
        Seconds after which the chapter stops.
    what : str
        What is waited for, for the message.
    panels : int
        How many axes, one above the other; they share their x axis.
    figsize : tuple of float
        Width and height in inches.
    every : float
        Seconds from one drawing to the next, at least.

    Raises
    ------
    LessonStopped
        When time is over; the last drawing stays.

    Notes
    -----
    Taught in chapter 01.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(panels, figsize=figsize, squeeze=False, sharex=True)
    handle: Any = None
    deadline = time.monotonic() + timeout
    try:
        while True:
            began = time.monotonic()
            for ax in axes[:, 0]:
                ax.clear()
            done = draw(*axes[:, 0])
            for ax in axes[:-1, 0]:
                ax.tick_params(labelbottom=False)
            handle = _show(fig, handle)
            if done:
                return
            if time.monotonic() >= deadline:
                raise LessonStopped(
                    f"watched {timeout:g} s for {what}",
                    remedy="see “nothing-arrives” in book/troubleshooting.md",
                )
            time.sleep(max(0.0, every - (time.monotonic() - began)))
    finally:
        # An open figure would be shown once more at the end of the cell.
        plt.close(fig)


def _show(fig: Any, handle: Any) -> Any:
    if not in_notebook():
        return None
    if handle is not None:
        handle.update(fig)
        return handle
    from IPython import display as rich

    display: Any = rich.display
    return display(fig, display_id=True)
