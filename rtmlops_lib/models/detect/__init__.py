"""Anomaly detectors: streaming, per series; episodes; evaluation."""

from rtmlops_lib.models.detect.average_precision import average_precision
from rtmlops_lib.models.detect.episode import Episode
from rtmlops_lib.models.detect.episodes import EpisodeTracker
from rtmlops_lib.models.detect.evaluation import Evaluation, evaluate
from rtmlops_lib.models.detect.frame import detect_frame
from rtmlops_lib.models.detect.label import Label, labels_of
from rtmlops_lib.models.detect.scores import FLAG_THRESHOLD, SEVERITIES, Scores
from rtmlops_lib.models.detect.settings import DetectorSettings
from rtmlops_lib.models.detect.streaming import StreamingDetector
from rtmlops_lib.models.detect.type_result import TypeResult

__all__ = [
    "FLAG_THRESHOLD",
    "SEVERITIES",
    "DetectorSettings",
    "Episode",
    "EpisodeTracker",
    "Evaluation",
    "Label",
    "Scores",
    "StreamingDetector",
    "TypeResult",
    "average_precision",
    "detect_frame",
    "evaluate",
    "labels_of",
]
