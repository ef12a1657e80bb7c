"""The live stack under a run of the chapters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from booklib.paths import Layout
from rtmlops_lib.settings import ALIASES, Settings
from rtmlops_lib.stack import LocalStack

__all__ = ["StackFailed", "clean_environment", "keep_logs", "live_stack"]

_KEPT = ("RTMLOPS_HOME", "RTMLOPS_STACK_")


class StackFailed(Exception):
    """The stack did not start; its own message is already on the terminal."""


def clean_environment(
    layout: Layout, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a run: nobody's servers but the local stack's.

    ``.env`` is ignored and so are addresses in the environment, so that chapters
    cannot touch a site that somebody works with. Ports and the stack's folder stay.
    """
    environ = os.environ if environ is None else environ
    cleaned = {
        name: value
        for name, value in environ.items()
        if name not in ALIASES
        and (not name.startswith("RTMLOPS_") or name.startswith(_KEPT))
    }
    cleaned.setdefault("RTMLOPS_HOME", str(layout.root / ".rtmlops"))
    cleaned["RTMLOPS_ENV_FILE"] = ""
    # Neither the reader's IPython profile nor a kernel of the same name elsewhere.
    cleaned["IPYTHONDIR"] = str(layout.build / "ipython")
    cleaned["JUPYTER_PREFER_ENV_PATH"] = "1"
    cleaned["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    return cleaned


@contextmanager
def live_stack(layout: Layout, environ: Mapping[str, str]) -> Iterator[None]:
    """Run the stack, and leave it as it was found: running or stopped.

    Raises
    ------
    StackFailed
        When ``rtmlops up`` fails.
    """
    was_up = LocalStack(Settings.load(environ=environ, start=layout.root)).is_running()
    try:
        # Chapters start the services they show, on topics of their own.
        if _rtmlops(["up", "--services", "none"], layout, environ) != 0:
            raise StackFailed("the stack did not start; 'rtmlops doctor' says why")
        yield
    finally:
        if not was_up:
            _rtmlops(["down"], layout, environ)


def keep_logs(environ: Mapping[str, str], target: Path) -> None:
    """Copy the stack's logs to ``target``."""
    logs = Path(environ["RTMLOPS_HOME"]) / "logs"
    if logs.is_dir():
        shutil.copytree(logs, target, dirs_exist_ok=True)


def _rtmlops(words: list[str], layout: Layout, environ: Mapping[str, str]) -> int:
    program = Path(sys.executable).with_name("rtmlops")
    return subprocess.run(
        [str(program), *words],
        cwd=layout.root,
        env=dict(environ),
        timeout=900,
        check=False,
    ).returncode
