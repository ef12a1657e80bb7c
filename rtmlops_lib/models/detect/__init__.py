"""Anomaly detectors: streaming, per series; episodes; evaluation."""

from rtmlops_lib.models.detect.average_precision import (
    average_precision,
    precision_recall,
)
from rtmlops_lib.models.detect.detector import Detection, Detector
from rtmlops_lib.models.detect.episode import Episode, episodes_of_frame
from rtmlops_lib.models.detect.episodes import EpisodeTracker
from rtmlops_lib.models.detect.evaluation import Evaluation, evaluate
from rtmlops_lib.models.detect.forest import AnomalyForest
from rtmlops_lib.models.detect.frame import detect_frame
from rtmlops_lib.models.detect.label import Label, labels_of, labels_of_frame
from rtmlops_lib.models.detect.replay import (
    Replay,
    Replayer,
    batches_of_frame,
    replay,
)
from rtmlops_lib.models.detect.row_truth import precision_by_type, row_truth
from rtmlops_lib.models.detect.scores import FLAG_THRESHOLD, SEVERITIES, Scores
from rtmlops_lib.models.detect.settings import DetectorSettings
from rtmlops_lib.models.detect.streaming import StreamingDetector
from rtmlops_lib.models.detect.type_result import TypeResult
from rtmlops_lib.models.detect.witness_models import WitnessModels

__all__ = [
    "FLAG_THRESHOLD",
    "SEVERITIES",
    "AnomalyForest",
    "Detection",
    "Detector",
    "DetectorSettings",
    "Episode",
    "EpisodeTracker",
    "Evaluation",
    "Label",
    "Replay",
    "Replayer",
    "Scores",
    "StreamingDetector",
    "TypeResult",
    "WitnessModels",
    "average_precision",
    "batches_of_frame",
    "detect_frame",
    "episodes_of_frame",
    "evaluate",
    "labels_of",
    "labels_of_frame",
    "precision_by_type",
    "precision_recall",
    "replay",
    "row_truth",
]
