"""Where a model came from, as the tags of its version."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtmlops_lib.models.gate import GateReport
    from rtmlops_lib.models.training import Trained
    from rtmlops_lib.streams import StreamSpec

__all__ = ["environment_tags", "lineage_tags"]

_PACKAGES = ("rtmlops", "scikit-learn", "skops", "numpy", "mlflow")


def lineage_tags(
    trained: Trained, spec: StreamSpec, source: str, gate: GateReport
) -> dict[str, str]:
    """Return what one needs to know to make the same model again."""
    dataset = trained.dataset
    first, last = dataset.window
    flagged = dataset.flagged_share
    return {
        "stream": spec.name,
        "target": spec.target or "",
        "source": source,
        "kind": trained.settings.kind,
        "window_start": first,
        "window_end": last,
        "holdout_start_us": str(dataset.holdout_start_us),
        "window_start_us": str(int(dataset.train.time[0])),
        "offsets": dataset.offsets,
        "rows": str(dataset.rows),
        "rows_trained": str(len(dataset.train)),
        "rows_held_out": str(len(dataset.holdout)),
        "flagged_share": "no flags exist" if flagged is None else f"{flagged:.6f}",
        "data_sha256": dataset.data_hash,
        "features": ",".join(trained.model.features.names),
        "metrics": json.dumps(
            {name: round(value, 6) for name, value in trained.metrics.items()}
        ),
        "gate": json.dumps(gate.to_dict()),
        **environment_tags(),
    }


def environment_tags() -> dict[str, str]:
    """Return the code and the packages in use."""
    return {
        "git_sha": _git_sha(),
        "packages": " ".join(f"{name}=={_version(name)}" for name in _PACKAGES),
        "python": platform.python_version(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _git_sha() -> str:
    """Return the commit of the code in use, "unknown" where it is no checkout."""
    try:
        answer = subprocess.run(  # noqa: S603 - constant arguments
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - git is where the user has it
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"
