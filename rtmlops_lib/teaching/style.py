"""The book's look for figures."""

from __future__ import annotations

from importlib.resources import as_file, files
from types import MappingProxyType
from typing import Any

from rtmlops_lib.teaching._display import in_notebook

__all__ = ["COLORS", "use_style"]

# Okabe and Ito's palette by name: told apart by readers who see colours differently.
COLORS = MappingProxyType(
    {
        "blue": "#0072b2",
        "orange": "#d55e00",
        "green": "#009e73",
        "pink": "#cc79a7",
        "yellow": "#e69f00",
        "sky": "#56b4e9",
        "black": "#000000",
        "grey": "#7b8794",
        "ink": "#1f2933",
        "paper": "#fbfcfe",
    }
)


def use_style() -> None:
    """Draw every figure from now on in the book's look, as SVG in notebooks."""
    from matplotlib import style

    with as_file(files("rtmlops_lib.teaching") / "rtmlops.mplstyle") as sheet:
        style.use(str(sheet))
    if in_notebook():
        from matplotlib_inline import backend_inline

        # No creation date in the file: the same figure, the same bytes.
        choose: Any = backend_inline.set_matplotlib_formats
        choose("svg", metadata={"Date": None, "Creator": "rtmlops"})
