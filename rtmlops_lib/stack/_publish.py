"""``.rtmlops/env``: how the next command finds the stack."""

from __future__ import annotations

import secrets

from rtmlops_lib.settings import Settings, parse_env_file
from rtmlops_lib.stack._home import StackHome
from rtmlops_lib.stack.description import StackInfo
from rtmlops_lib.stack.services import API_PORT_OFFSET

__all__ = ["publish"]


def publish(home: StackHome, info: StackInfo, settings: Settings) -> None:
    """Write where the stack's servers are, and the ports it was started with.

    The API's token is this stack's own, made once: one that the caller has set may be
    a production's, which is not written to a file here.
    """
    token = parse_env_file(home.env_file).get("RTMLOPS_API_TOKEN")
    api_port = settings.stack_metrics_port + API_PORT_OFFSET
    lines = {
        "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS": info.kafka_bootstrap_servers,
        "RTMLOPS_DATABASE_URL": info.database_url,
        "RTMLOPS_MLFLOW_TRACKING_URI": info.mlflow_tracking_uri,
        # So that the next command finds the stack without the flags of 'up'.
        "RTMLOPS_STACK_KAFKA_PORT": settings.stack_kafka_port,
        "RTMLOPS_STACK_POSTGRES_PORT": settings.stack_postgres_port,
        "RTMLOPS_STACK_MLFLOW_PORT": settings.stack_mlflow_port,
        "RTMLOPS_STACK_METRICS_PORT": settings.stack_metrics_port,
        "RTMLOPS_API_URL": f"http://127.0.0.1:{api_port}",
        "RTMLOPS_API_TOKEN": token or secrets.token_urlsafe(32),
    }
    text = "# Written by 'rtmlops up'.\n" + "".join(
        f"{name}={value}\n" for name, value in lines.items()
    )
    # It holds the token, and its database may be one that was given, with a password.
    home.write_atomically(home.env_file, text, mode=0o600)
