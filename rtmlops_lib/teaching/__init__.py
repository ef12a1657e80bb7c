"""What the chapters use: a lab of their own, checks, waiting, progress, figures."""

from rtmlops_lib.teaching.check import LessonStopped, check
from rtmlops_lib.teaching.gauges import free_port, gauges
from rtmlops_lib.teaching.glue import glue
from rtmlops_lib.teaching.history import History
from rtmlops_lib.teaching.lab import Lab
from rtmlops_lib.teaching.member import GroupMember, ownership
from rtmlops_lib.teaching.prepare import prepare
from rtmlops_lib.teaching.progress import LiveProgress, live_progress
from rtmlops_lib.teaching.style import COLORS, use_style
from rtmlops_lib.teaching.wait import wait_until
from rtmlops_lib.teaching.watch import watch
from rtmlops_lib.teaching.whole_loop import WholeLoop
from rtmlops_lib.teaching.world import World

__all__ = [
    "COLORS",
    "GroupMember",
    "History",
    "Lab",
    "LessonStopped",
    "LiveProgress",
    "WholeLoop",
    "World",
    "check",
    "free_port",
    "gauges",
    "glue",
    "live_progress",
    "ownership",
    "prepare",
    "use_style",
    "wait_until",
    "watch",
]
