"""A second run of executed chapters, compared with the first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["compare_runs"]


def compare_runs(
    notebooks: Sequence[Path], environ: Mapping[str, str], *, cell_timeout: int = 300
) -> int:
    """Run notebooks again by nbval; return 0 where tagged outputs are the same.

    Only cells tagged ``nbval-check-output`` are compared (``--nbval-lax``).
    """
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        str(notebooks[0].parent),
        "-p",
        "no:cacheprovider",
        "-q",
        "--nbval-lax",
        "--nbval-cell-timeout",
        str(cell_timeout),
        *map(str, notebooks),
    ]
    return subprocess.run(command, env=dict(environ), check=False).returncode
