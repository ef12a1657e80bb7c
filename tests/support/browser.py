"""A real browser, where one is on the PATH."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def browser() -> Iterator[Any]:
    """Start it without a window; skip the test where there is none."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed"
    )
    path = next((p for p in map(shutil.which, NAMES) if p), None)
    if path is None:
        pytest.skip(f"no browser is on the PATH: {', '.join(NAMES)}")
    with driver.sync_playwright() as play:
        # Containers run as root, where its sandbox cannot be had.
        running = play.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield running
        finally:
            running.close()
