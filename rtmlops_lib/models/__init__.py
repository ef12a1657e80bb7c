"""Features, models, their training, judgement and registry."""

from rtmlops_lib.models.detect import detect_frame
from rtmlops_lib.models.features import Features
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.settings import GateSettings, PowerSettings

__all__ = ["Features", "GateSettings", "PowerModel", "PowerSettings", "detect_frame"]
