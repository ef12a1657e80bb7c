"""The retraining API and its control page."""

from rtmlops_lib.services.api.app import create_app
from rtmlops_lib.services.api.context import ApiContext
from rtmlops_lib.services.api.server import run_api

__all__ = ["ApiContext", "create_app", "run_api"]
