"""The first call of every chapter: a clean corner of the stack, and nothing else."""

from __future__ import annotations

import atexit
import http.client
import logging
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

from psycopg2.extensions import parse_dsn

from rtmlops_lib.errors import DependencyUnavailable, UsageError
from rtmlops_lib.logs import configure_logging
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.teaching._models import make_champion, remove_models
from rtmlops_lib.teaching.check import LessonStopped
from rtmlops_lib.teaching.history import History
from rtmlops_lib.teaching.lab import Lab
from rtmlops_lib.teaching.process import end_leftovers
from rtmlops_lib.teaching.style import use_style
from rtmlops_lib.teaching.wait import wait_until
from rtmlops_lib.transport import TopicAdmin, open_admin

__all__ = ["prepare"]

Part = Literal["kafka", "database", "mlflow"]
_LOOPBACK = {"localhost", "127.0.0.1", "::1", "[::1]", ""}
_labs: dict[int, Lab] = {}


def prepare(
    chapter: int,
    *,
    needs: Sequence[Part] = ("kafka", "database"),
    sent: History | None = None,
    stored: History | None = None,
    streams: Sequence[str] | None = None,
    champion: PowerSettings | None = None,
    watched: bool = False,
    settings: Settings | None = None,
) -> Lab:
    """Check the stack, reset what is this chapter's own, supply what it starts from.

    Only topics and models called ``chNN-…`` and the schema ``chNN`` are touched, and
    only where ``rtmlops up`` or compose left the mark of a practice stack. Calling it
    again starts the chapter afresh.

    Parameters
    ----------
    chapter : int
        The chapter's number.
    needs : sequence of {"kafka", "database", "mlflow"}
        The servers that must answer.
    sent : History, optional
        Events to send to the chapter's topics.
    stored : History, optional
        Events to put into the chapter's tables, as if earlier chapters had.
    streams : sequence of str, optional
        Of which ``sent`` and ``stored`` are; by default all, with a champion the one
        that it learns from.
    champion : PowerSettings, optional
        How to train a model on ``stored`` that is champion afterwards, as chapter 05
        would leave one.
    watched : bool
        Whether that champion gets what a monitor holds it against.
    settings : Settings, optional
        Where the stack is; read from the environment by default.

    Raises
    ------
    LessonStopped
        When a server does not answer, or the stack is not for practice.
    """
    started = time.monotonic()
    # A notebook shows results; what services log lies in the lab's folder.
    configure_logging("ERROR")
    # MLflow's progress bars want widgets that plain JupyterLab does not have.
    warnings.filterwarnings("ignore", message="IProgress not found")
    # kafka-python calls a metadata request that ends with its client an error.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    use_style()
    if chapter in _labs:
        _labs.pop(chapter).close()
    lab = Lab(chapter, settings or Settings.load())
    _labs[chapter] = lab
    lab.folder.mkdir(parents=True, exist_ok=True)
    for name in end_leftovers(lab.folder):
        print(f"  ended   {name}, left over from a notebook that died")
    for old in (*lab.folder.glob("*.log"), *lab.folder.glob("*.out")):
        old.unlink()
    if needs:
        print(f"chapter {chapter:02d} on the practice stack")
    if "mlflow" in needs:
        _check_mlflow(lab.settings)
    if needs:
        _check_practice(lab.settings)
    if "kafka" in needs:
        _reset_topics(lab)
    if "database" in needs:
        _reset_tables(lab)
    if "mlflow" in needs:
        _reset_models(lab)
    if streams is None:
        streams = tuple(lab.specs) if champion is None else ("datacenter",)
    specs = [lab.specs[name] for name in streams]
    if sent is not None:
        count = sent.send(lab.producer(), specs)
        print(f"  sent    {count:,} events ({_told(sent)}) to {lab.prefix}…")
    if stored is not None:
        count = stored.keep(lab.store, specs)
        print(f"  stored  {count:,} events ({_told(stored)}) in schema {lab.schema}")
    if champion is not None:
        if stored is None or "mlflow" not in needs:
            raise UsageError("a champion needs stored events and MLflow")
        spec = lab.specs["datacenter"]
        make_champion(lab, champion, spec, since=stored.start, watched=watched)
    print(f"ready in {time.monotonic() - started:.1f} s")
    return lab


@atexit.register
def _close_labs() -> None:
    for lab in _labs.values():
        lab.close()
    _labs.clear()


def _check_mlflow(settings: Settings) -> None:
    url = settings.mlflow_tracking_uri.rstrip("/") + "/health"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            if answer.status == 200:
                return
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
        pass
    raise _not_running("MLflow", settings.mlflow_tracking_uri)


def _check_practice(settings: Settings) -> None:
    """Refuse to reset anything on servers that are not marked as ours."""
    address = _database_host(settings)
    # The mark stands in the stack's own schema, not in the chapter's.
    store = open_store(settings.model_copy(update={"database_schema": "public"}))
    try:
        marked = store.is_practice()
    except DependencyUnavailable as error:
        raise _not_running("the database", address) from error
    finally:
        store.close()
    if not marked:
        raise LessonStopped(
            f"the database at {address} is not a practice stack, so this chapter "
            "touches nothing there",
            remedy="let 'rtmlops up' start one; see “not-practice” in "
            "book/troubleshooting.md",
        )
    if _host(address) not in _LOOPBACK:
        return
    kafka = {_host(item) for item in settings.kafka_bootstrap_servers.split(",")}
    if not kafka <= _LOOPBACK:
        raise _elsewhere(
            "Kafka",
            settings.kafka_bootstrap_servers,
            "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS",
        )
    registry = settings.mlflow_tracking_uri
    if (urlsplit(registry).hostname or "") not in _LOOPBACK:
        raise _elsewhere("MLflow", registry, "RTMLOPS_MLFLOW_TRACKING_URI")


def _reset_topics(lab: Lab) -> None:
    try:
        admin = open_admin(lab.settings)
    except DependencyUnavailable as error:
        raise _not_running("Kafka", lab.settings.kafka_bootstrap_servers) from error
    try:
        old = _own_topics(admin, lab)
        admin.delete(old)
        wait_until(
            lambda: not _own_topics(admin, lab),
            timeout=15,
            what=f"the topics {lab.prefix}… to be gone",
        )
        made = admin.ensure_topics(lab.specs.values())
    finally:
        admin.close()
    print(f"  topics  {len(made)} made, {len(old)} old ones removed: {lab.prefix}…")


def _own_topics(admin: TopicAdmin, lab: Lab) -> list[str]:
    return [name for name in admin.list_topics() if name.startswith(lab.prefix)]


def _reset_tables(lab: Lab) -> None:
    store = open_store(lab.settings.model_copy(update={"database_schema": "public"}))
    try:
        store.drop_schema(lab.schema)
    finally:
        store.close()
    lab.store.migrate(list(lab.specs.values()))
    print(f"  tables  made anew in schema {lab.schema}")


def _reset_models(lab: Lab) -> None:
    old = remove_models(lab)
    print(f"  models  {len(old)} old ones removed: {lab.prefix}…")


def _told(history: History) -> str:
    return f"{history.hours:g} h of {history.servers} servers, seed {history.seed}"


def _elsewhere(what: str, where: str, variable: str) -> LessonStopped:
    return LessonStopped(
        f"the database is on this machine, but {what} is at {where}: that is not the "
        "practice stack",
        remedy=f"unset {variable}; see “not-practice” in book/troubleshooting.md",
    )


def _not_running(what: str, where: str) -> LessonStopped:
    return LessonStopped(
        f"{what} at {where} does not answer",
        remedy="run 'rtmlops up' in a terminal, then this cell again",
    )


def _database_host(settings: Settings) -> str:
    url = settings.database_url.get_secret_value()
    try:
        parts = parse_dsn(url)
    except Exception:  # an unreadable URL fails with its own message on connecting
        return "the configured address"
    return f"{parts.get('host', '')}:{parts.get('port', '5432')}"


def _host(address: str) -> str:
    return urlsplit(f"//{address.strip()}").hostname or ""
