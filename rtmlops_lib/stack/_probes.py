"""Whether each part answers: asked as a client would ask."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

from rtmlops_lib.settings import Settings

__all__ = [
    "kafka_answers",
    "mlflow_answers",
    "postgres_answers",
    "service_is_alive",
    "service_is_ready",
]

# Each returns None when it is fine, else why not.


def kafka_answers(
    bootstrap_servers: str, settings: Settings | None = None
) -> str | None:
    """Ask Kafka for its metadata."""
    from rtmlops_lib.errors import RtmlopsError
    from rtmlops_lib.transport.admin import TopicAdmin

    # The client logs every refused connection, and waits between two; while nobody
    # listens there is nothing to ask.
    host, _, port = bootstrap_servers.split(",")[0].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, ValueError) as error:
        return f"{bootstrap_servers}: {error}"
    base = settings or Settings()
    base = base.model_copy(update={"kafka_bootstrap_servers": bootstrap_servers})
    try:
        with TopicAdmin(base, timeout_ms=2_000) as admin:
            admin.cluster_id()
    except RtmlopsError as error:
        return error.message
    return None


def postgres_answers(url: str) -> str | None:
    """Ask PostgreSQL for ``SELECT 1``."""
    import psycopg2

    try:
        connection = psycopg2.connect(
            url, connect_timeout=3, options="-c statement_timeout=3000"
        )
    except psycopg2.OperationalError as error:
        return str(error).strip() or "no answer"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        return str(error).strip()
    finally:
        connection.close()
    return None


def mlflow_answers(tracking_uri: str) -> str | None:
    """Ask MLflow for ``/health``."""
    status, body = _get(f"{tracking_uri}/health")
    return None if status == 200 else f"{status or ''} {body}".strip()


def service_is_alive(port: int) -> str | None:
    """Ask a service for ``/healthz``."""
    status, body = _get(f"http://127.0.0.1:{port}/healthz")
    return None if status == 200 else f"{status or ''} {body}".strip()


def service_is_ready(port: int) -> str | None:
    """Ask a service for ``/readyz``."""
    status, body = _get(f"http://127.0.0.1:{port}/readyz")
    if status == 200:
        return None
    try:
        reasons: Any = json.loads(body).get("reasons", body)
    except (json.JSONDecodeError, AttributeError):
        reasons = body
    return "; ".join(reasons) if isinstance(reasons, list) else str(reasons)


def _get(url: str) -> tuple[int, str]:
    if not url.startswith(("http://", "https://")):
        return 0, f"{url} is no http address"
    # No proxy: a loopback address through one never answers.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as answer:
            return int(answer.status), answer.read(4096).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(4096).decode("utf-8", "replace")
    except OSError as error:
        return 0, str(getattr(error, "reason", error))
