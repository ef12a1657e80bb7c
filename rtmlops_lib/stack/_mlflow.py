"""MLflow's tracking server and model registry."""

from __future__ import annotations

import sys

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
                sys.executable,
                "-m",
                "rtmlops_lib.stack.mlflow_server",
                str(self.port),
            ),
            folder=self._folder,
            priority=30,
            stop_seconds=8,
            port=self.port,
        )
