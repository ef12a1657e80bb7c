"""Whether the world has changed: drift of inputs and of a model's error, calibrated."""

from rtmlops_lib.monitoring.calibration import Calibration
from rtmlops_lib.monitoring.error_reference import ErrorReference
from rtmlops_lib.monitoring.error_watch import ErrorWatch
from rtmlops_lib.monitoring.judge import DriftJudge
from rtmlops_lib.monitoring.memory import Memory
from rtmlops_lib.monitoring.settings import DriftSettings
from rtmlops_lib.monitoring.verdict import DriftVerdict

__all__ = [
    "Calibration",
    "DriftJudge",
    "DriftSettings",
    "DriftVerdict",
    "ErrorReference",
    "ErrorWatch",
    "Memory",
]
