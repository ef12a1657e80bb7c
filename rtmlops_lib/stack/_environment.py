"""The environment that the stack's processes start with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtmlops_lib.settings import ALIASES, Settings

__all__ = ["MARKER", "child_environment"]

# In the environment of everything a stack starts: how 'down' finds what is left of
# one whose supervisor was killed. Not RTMLOPS_*: it is no setting, and a user's
# shell that exports RTMLOPS_HOME must not count as a part of the stack.
MARKER = "_RTMLOPS_STACK"

# What would change how a part behaves, from whoever happens to call 'up'.
_DROPPED_PREFIXES = (
    "RTMLOPS_",
    "MLFLOW_",
    "_MLFLOW_",
    "KAFKA_",
    "PG",
    "SUPERVISOR_",
    "UVICORN_",
    "GUNICORN_",
    "OTEL_",
)
_DROPPED = {
    *ALIASES,
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "WEB_CONCURRENCY",
    "TZ",
}
# Settings that shape a service's work; where it connects is the stack's own.
_HANDED_ON = (
    "api_cooldown_seconds",
    "batch_max_rows",
    "batch_max_seconds",
    "kafka_client",
    "kafka_heartbeat_interval_ms",
    "kafka_session_timeout_ms",
    "log_format",
    "log_level",
    "maintain_interval_seconds",
    "topic_prefix",
    "write_deadline_seconds",
)


def child_environment(
    home: Path, settings: Settings, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of the supervisor and of all it starts.

    Services find the stack through ``RTMLOPS_HOME`` alone: the caller's ``.env`` and
    ``DATABASE_URL`` may name a production server, which ``up`` must not write to.

    Examples
    --------
    >>> env = child_environment(
    ...     Path("/srv/.rtmlops"), Settings(), {"DATABASE_URL": "x", "LANG": "C"}
    ... )
    >>> sorted(env)
    ['LANG', 'RTMLOPS_ENV_FILE', 'RTMLOPS_HOME', '_RTMLOPS_STACK']
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)
    }
    kept["RTMLOPS_HOME"] = str(home)
    kept["RTMLOPS_ENV_FILE"] = ""
    kept[MARKER] = str(home)
    default = Settings()
    for name in _HANDED_ON:
        value = getattr(settings, name)
        if value != getattr(default, name):
            kept[f"RTMLOPS_{name.upper()}"] = str(value)
    return kept
