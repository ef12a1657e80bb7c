"""Templates, and how times and numbers look in them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rtmlops_lib import __version__
from rtmlops_lib.services.api.overview import SPAN, ErrorSeen

__all__ = ["ago", "element_id", "points", "render"]

WIDTH, HEIGHT = 240, 48


def render(template: str, **values: Any) -> str:
    """Return a page; whatever is put into it is escaped."""
    return _environment().get_template(template).render(**values)


def ago(moment: datetime | None, now: datetime) -> str:
    """Say how long ago something was.

    Examples
    --------
    >>> noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    >>> ago(datetime(2026, 11, 23, 11, 57, tzinfo=UTC), noon)
    '3 min ago'
    """
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return "just now" if seconds > -60 else "ahead"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def element_id(name: str) -> str:
    """Return a name as a part of an element's id that selectors need not escape.

    Examples
    --------
    >>> element_id("site-1.power kw_")
    'site-1_2e_power_20_kw_5f_'
    """
    return "".join(
        c if c == "-" or (c.isascii() and c.isalnum()) else f"_{ord(c):x}_"
        for c in name
    )


def points(error: ErrorSeen, ceiling: float, now: datetime) -> str:
    """Return the points of a line through the windows, up to now on the right.

    Examples
    --------
    >>> now = datetime(2026, 11, 23, 2, tzinfo=UTC)
    >>> windows = [(now - SPAN, 0.0), (now, 0.1)]
    >>> points(ErrorSeen("champion", 1, 2, 0.0, 0.05, windows), 0.1, now)
    '0.0,46.0 240.0,2.0'
    """
    places = []
    for start, value in error.windows:
        age = min(1.0, (now - start) / SPAN)
        height = min(1.0, value / max(ceiling, 1e-9))
        places.append(
            f"{WIDTH * (1 - age):.1f},{HEIGHT - 2 - (HEIGHT - 4) * height:.1f}"
        )
    return " ".join(places)


def _ceiling(errors: list[ErrorSeen]) -> float:
    """Return what the top of the picture stands for."""
    values = [value for error in errors for _, value in error.windows]
    return max(1.1 * max(values, default=0.0), 0.02)


def _time(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rtmlops_lib.services.api", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "element_id": element_id,
        "percent": lambda x: f"{x:.2%}",
        "time": _time,
    }
    environment.globals |= {
        "ago": ago,
        "ceiling": _ceiling,
        "points": points,
        "version": __version__,
        "width": WIDTH,
        "height": HEIGHT,
    }
    return environment
