"""What to do about two verdicts: the error outranks the inputs."""

from __future__ import annotations

from typing import Literal

from rtmlops_lib.monitoring.verdict import DriftVerdict

__all__ = ["Advice", "advise"]

Advice = Literal["nothing", "warn", "retrain"]


def advise(error: DriftVerdict | None, inputs: DriftVerdict | None) -> Advice:
    """Say what two verdicts of the same time ask for.

    Inputs that changed under a model whose error has not grown are a matter to look
    at, not a reason to replace the model: it copes. A grown error is, whatever the
    inputs do.

    Notes
    -----
    Taught in chapter 09.
    """
    if error is not None and error.state == "drift":
        return "retrain"
    states = [verdict.state for verdict in (error, inputs) if verdict is not None]
    return "warn" if {"drift", "warning"} & set(states) else "nothing"
