"""MLflow's tracking server and model registry."""

from __future__ import annotations

import sys
from pathlib import Path

from rtmlops_lib.stack._home import StackHome
from rtmlops_lib.stack._program import Program

__all__ = ["MlflowPart"]


class MlflowPart:
    """The MLflow server of a stack.

    Parameters
    ----------
    home : StackHome
        Database and artifacts lie in its folder ``mlflow``.
    port : int
        Where it listens.
    """

    name = "mlflow"

    def __init__(self, home: StackHome, port: int) -> None:
        self._folder = home.mlflow
        self.port = port

    @property
    def tracking_uri(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    def program(self) -> Program:
        """Return how the supervisor runs the server."""
        return Program(
            name=self.name,
            command=(
                _interpreter(),
                "-m",
                "rtmlops_lib.stack.mlflow_server",
                str(self.port),
            ),
            folder=self._folder,
            priority=30,
            stop_seconds=8,
            port=self.port,
        )


def _interpreter() -> str:
    """Return this Python by one name, whichever of its links was called.

    ``rtmlops`` runs on ``python3``, ``python -m rtmlops_lib.cli`` on ``python``: the
    same stack must not look like another one.
    """
    plain = Path(sys.executable).with_name("python")
    same = plain.exists() and plain.samefile(sys.executable)
    return str(plain) if same else sys.executable
