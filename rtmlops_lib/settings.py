"""Settings: flag, environment, ``.env``, ``.rtmlops/env``, default, in that order."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from rtmlops_lib.errors import UsageError

__all__ = [
    "HOME_NAME",
    "KafkaSecurity",
    "Settings",
    "find_home",
    "mask_credentials",
    "parse_env_file",
]

PREFIX = "RTMLOPS_"
HOME_NAME = ".rtmlops"
# Usual names, each an alias within its own layer; our own name wins there.
ALIASES = {
    "KAFKA_BOOTSTRAP_SERVERS": "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS",
    "DATABASE_URL": "RTMLOPS_DATABASE_URL",
    "MLFLOW_TRACKING_URI": "RTMLOPS_MLFLOW_TRACKING_URI",
    "CLICKHOUSE_URL": "RTMLOPS_CLICKHOUSE_URL",
}
EXTRA_KAFKA = "RTMLOPS_KAFKA_EXTRA__"
# Read before any settings exist: where the layers themselves lie.
_BOOTSTRAP = {"RTMLOPS_ENV_FILE", "RTMLOPS_HOME"}
# Where this library's tests find their servers; no setting.
_TESTS = "RTMLOPS_TEST_"


class KafkaSecurity(BaseModel):
    """Security of the Kafka connection in client-neutral terms."""

    model_config = ConfigDict(frozen=True)

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_key_password: SecretStr | None = None
    ssl_check_hostname: bool = True


class Settings(BaseModel):
    """Everything that may differ between sites.

    Build it with ``Settings.load()``; every field is read from ``RTMLOPS_<NAME>``.

    Examples
    --------
    >>> Settings(kafka_bootstrap_servers="broker:9092").kafka_bootstrap_servers
    'broker:9092'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_client: Literal["kafka-python", "confluent"] = "kafka-python"
    kafka_security_protocol: Literal[
        "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: str | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_cafile: str | None = None
    kafka_ssl_certfile: str | None = None
    kafka_ssl_keyfile: str | None = None
    kafka_ssl_key_password: SecretStr | None = None
    kafka_ssl_check_hostname: bool = True
    kafka_extra: dict[str, str] = Field(default_factory=dict)
    kafka_session_timeout_ms: int = Field(default=6_000, ge=1_000)
    kafka_heartbeat_interval_ms: int = Field(default=2_000, ge=100)

    database_url: SecretStr = SecretStr("postgresql://rtmlops@127.0.0.1:5432/rtmlops")
    database_schema: str = Field(default="public", pattern=r"^[a-z][a-z0-9_]{0,62}$")
    mlflow_tracking_uri: str = "http://127.0.0.1:5000"
    clickhouse_url: SecretStr | None = None

    # The retraining API: what it demands of a caller, where it listens, and where
    # others find it (None: nowhere).
    api_token: SecretStr | None = None
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65_535)
    api_url: str | None = None
    api_cooldown_seconds: float = Field(default=600.0, ge=0, le=604_800)
    # So long a promotion's gate may judge while its caller waits; then it is given up.
    api_gate_seconds: float = Field(default=120.0, gt=0, le=3_600)

    topic_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    batch_max_rows: int = Field(default=5_000, ge=1, le=100_000)
    batch_max_seconds: float = Field(default=0.1, gt=0, le=60)
    write_deadline_seconds: float = Field(default=10.0, gt=0)
    maintain_interval_seconds: float = Field(default=60.0, gt=0)
    # For how many days, by the clock, what the services note is kept; 0: for ever.
    # Events have the retention of their stream.
    keep_drift_reports_days: float = Field(default=180.0, ge=0)
    keep_alerts_days: float = Field(default=365.0, ge=0)
    keep_anomaly_events_days: float = Field(default=365.0, ge=0)

    # The trainer. A job whose worker gave no sign for so long is taken over.
    train_schedule: str = "0 3 * * *"
    train_abandoned_seconds: float = Field(default=60.0, ge=2)
    train_attempts: int = Field(default=3, ge=1, le=20)
    train_outage_seconds: float = Field(default=900.0, ge=0)
    # After a change so much is waited for that a whole day is left beside the newest
    # fifth, which is held out: a forest cannot predict hours of the day that it has not
    # seen, and shorter ones make no reference for drift.
    train_after_change_hours: float = Field(default=30.0, ge=0)
    train_wait_for_rows_seconds: float = Field(default=172_800.0, ge=0)
    # From the end of all waiting on; a training that takes longer has failed, and a
    # trainer that cannot get rid of it ends with exit code 3, to be started anew.
    train_timeout_seconds: float = Field(default=14_400.0, gt=0)

    # The monitor; windows, lateness and probation in event time.
    monitor_window_seconds: float = Field(default=3_600.0, ge=1)
    monitor_lateness_seconds: float = Field(default=60.0, ge=0)
    monitor_poll_seconds: float = Field(default=10.0, gt=0, le=3_600)
    probation_seconds: float = Field(default=86_400.0, ge=0)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "console", "json"] = "auto"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"

    # The local stack (rtmlops up).
    stack_kafka_port: int = Field(default=9092, ge=1, le=65_535)
    stack_postgres_port: int = Field(default=5432, ge=1, le=65_535)
    stack_mlflow_port: int = Field(default=5000, ge=1, le=65_535)
    stack_metrics_port: int = Field(default=9400, ge=1, le=65_535)
    stack_postgres: str = "auto"

    home: Path = Path(HOME_NAME)

    @cached_property
    def kafka_security(self) -> KafkaSecurity:
        """The security settings by themselves."""
        return KafkaSecurity(
            protocol=self.kafka_security_protocol,
            **{
                name: getattr(self, f"kafka_{name}")
                for name in KafkaSecurity.model_fields
                if name != "protocol"
            },
        )

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str] | None = None,
        start: Path | None = None,
        **flags: Any,
    ) -> Settings:
        """Read all layers.

        Parameters
        ----------
        environ : mapping of str to str, optional
            The environment; the process's own by default.
        start : Path, optional
            Where to look for ``.env`` and, upwards from there, ``.rtmlops``.
        **flags
            Values from the command line; None means not given.

        Raises
        ------
        UsageError
            For an unknown ``RTMLOPS_`` name or an impossible value, by name.
        """
        return cls._resolve(environ, start, flags)[0]

    @classmethod
    def load_with_sources(
        cls,
        *,
        environ: Mapping[str, str] | None = None,
        start: Path | None = None,
        **flags: Any,
    ) -> tuple[Settings, dict[str, str]]:
        """As ``load``, and say which layer each field that was set came from."""
        return cls._resolve(environ, start, flags)

    @classmethod
    def _resolve(
        cls,
        environ: Mapping[str, str] | None,
        start: Path | None,
        flags: Mapping[str, Any],
    ) -> tuple[Settings, dict[str, str]]:
        environ = os.environ if environ is None else environ
        start = Path.cwd() if start is None else start
        home = find_home(start, environ)
        # An empty RTMLOPS_ENV_FILE means: read no .env (make test, make book).
        env_file = environ.get("RTMLOPS_ENV_FILE", str(start / ".env"))
        if environ.get("RTMLOPS_ENV_FILE") and not Path(env_file).is_file():
            raise UsageError(
                f"RTMLOPS_ENV_FILE names {env_file}, which is no file",
                remedy="correct or unset it; set to nothing, no file is read",
            )
        layers: list[tuple[str, Mapping[str, str]]] = [
            (str(home / "env"), parse_env_file(home / "env")),
            (env_file, parse_env_file(Path(env_file)) if env_file else {}),
            ("environment", environ),
        ]
        values: dict[str, Any] = {"home": home}
        sources: dict[str, str] = {}
        for source, layer in layers:
            for name, value in _fields_of(layer, source).items():
                if name == "kafka_extra":
                    # Each of them is a setting of its own.
                    value = values.get(name, {}) | value
                values[name] = value
                sources[name] = source
        for name, value in flags.items():
            if value is not None:
                values[name] = value
                sources[name] = "flag"
        try:
            return cls(**values), sources
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "settings"
            where = sources.get(name, "default")
            raise UsageError(
                f"{PREFIX}{name.upper()} (from {where}): {first['msg']}",
                remedy="correct or unset it; 'rtmlops config' shows what is in force",
            ) from None

    def masked(self) -> dict[str, Any]:
        """Return every field as plain data, secrets masked."""
        shown: dict[str, Any] = {}
        for name, value in self:
            if isinstance(value, SecretStr):
                value = _mask_url(value.get_secret_value())
            elif name == "kafka_extra":
                value = {k: _mask_extra(k, v) for k, v in value.items()}
            elif isinstance(value, Path):
                value = str(value)
            elif isinstance(value, str):
                value = mask_credentials(value)
            shown[name] = value
        return shown


def find_home(start: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Return the stack's folder: ``RTMLOPS_HOME``, or the nearest ``.rtmlops``.

    Looks in ``start`` and its parents, as git does, so that a chapter finds the
    stack from any working folder; where there is none it is ``start/.rtmlops``.
    """
    environ = os.environ if environ is None else environ
    if environ.get("RTMLOPS_HOME"):
        return Path(environ["RTMLOPS_HOME"]).absolute()
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / HOME_NAME).is_dir():
            return folder / HOME_NAME
    return start / HOME_NAME


def parse_env_file(path: Path) -> dict[str, str]:
    """Return the ``NAME=value`` lines of a file, without quotes; {} where none is."""
    if not path.is_file():
        return {}
    values = {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
            remedy="make it a readable UTF-8 file of NAME=value lines",
        ) from error
    for line in text.splitlines():
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*=\s*(.*?)\s*$", line)
        if match and not line.lstrip().startswith("#"):
            value = match[2]
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            values[match[1]] = value
    return values


def _fields_of(layer: Mapping[str, str], source: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    extra: dict[str, str] = {}
    named = {ALIASES[k]: v for k, v in layer.items() if k in ALIASES}
    named |= {k: v for k, v in layer.items() if k.startswith(PREFIX)}
    for name, value in named.items():
        if name in _BOOTSTRAP or name.startswith(_TESTS):
            continue
        if name.startswith(EXTRA_KAFKA):
            extra[name.removeprefix(EXTRA_KAFKA)] = value
            continue
        field = name.removeprefix(PREFIX).lower()
        if field not in Settings.model_fields or field in ("home", "kafka_extra"):
            # Without what all names share, or every name would be close.
            known = [f for f in Settings.model_fields if f != "kafka_extra"]
            close = difflib.get_close_matches(field, known, n=1)
            hint = f"did you mean {PREFIX}{close[0].upper()}?" if close else "unset it"
            raise UsageError(f"unknown setting {name} (from {source})", remedy=hint)
        fields[field] = value
    if extra:
        fields["kafka_extra"] = extra
    return fields


def _mask_url(value: str) -> str:
    if "://" not in value:
        return "********"
    return mask_credentials(value)


def mask_credentials(value: str) -> str:
    """Return an address without the password in it.

    Examples
    --------
    >>> mask_credentials("https://me:secret@mlflow.example")
    'https://me:********@mlflow.example'
    """
    if "://" not in value:
        return value
    try:
        parts = urlsplit(value)
        password = parts.password
    except ValueError:  # a broken URL may hold a password anywhere
        return "********"
    # libpq takes the password as a parameter, too.
    query = re.sub(
        r"(?i)(^|&)([^=&]*(?:password|secret|token)[^=&]*)=[^&]*",
        r"\1\2=********",
        parts.query,
    )
    if password is not None:
        user, host = parts.username or "", parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{user}:********@{host}")
    elif query == parts.query:
        return value
    return urlunsplit(parts._replace(query=query))


def _mask_extra(key: str, value: str) -> str:
    secret = re.search(r"password|secret|token|jaas|key", key, re.IGNORECASE)
    return "********" if secret else value
