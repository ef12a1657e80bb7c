"""Sphinx: refuse a build without runs, link each page to its source."""

from __future__ import annotations

import os
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_REPOSITORY = "https://github.com/rtmlops/rtmlops"
_NO_SOURCE = {"search", "genindex"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    if os.environ.get("RTMLOPS_BOOK_BUILD") != "1":
        raise ExtensionError(
            "The chapters must run before they can be rendered: use 'make book'."
        )
    # After the theme, which prepares the list of buttons at priority 500 and 501.
    app.connect("html-page-context", _add_source_button, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _add_source_button(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    if page in _NO_SOURCE or doctree is None:
        return
    source = re.sub(r"^notebooks/", "book/chapters/", page) + ".md"
    context.setdefault("header_buttons", []).append(
        {
            "type": "link",
            "url": f"{_REPOSITORY}/blob/main/{source}",
            "tooltip": "Source of this page",
            "icon": "fas fa-pencil-alt",
            "label": "page-source-button",
        }
    )
