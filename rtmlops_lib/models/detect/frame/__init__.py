"""The detector on anyone's data."""

from rtmlops_lib.models.detect.frame.detect_frame import detect_frame

__all__ = ["detect_frame"]
