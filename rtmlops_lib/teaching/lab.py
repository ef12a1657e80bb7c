"""What a chapter works with: topics, tables and services of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.names import model_name
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.settings import ALIASES, Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec, builtin_specs
from rtmlops_lib.teaching.member import GroupMember
from rtmlops_lib.teaching.process import LabProcess
from rtmlops_lib.transport import (
    EventConsumer,
    EventProducer,
    TopicAdmin,
    open_admin,
    open_consumer,
    open_producer,
)

if TYPE_CHECKING:
    import pandas as pd
    import psycopg2.extensions

__all__ = ["Lab"]


class Lab:
    """A chapter's own corner of the stack; ``prepare`` returns one.

    Everything that it opens it closes at the end; services that it started stop.

    Parameters
    ----------
    chapter : int
        The chapter's number.
    settings : Settings
        Where the stack is; prefix and schema are replaced by the chapter's.

    Notes
    -----
    Taught in chapter 01.
    """

    def __init__(self, chapter: int, settings: Settings) -> None:
        self.chapter = chapter
        self.schema = f"ch{chapter:02d}"
        self.prefix = f"{self.schema}-"
        self.settings = settings.model_copy(
            update={"topic_prefix": self.prefix, "database_schema": self.schema}
        )
        self.folder = settings.home / "chapters" / self.schema
        self._processes: dict[str, LabProcess] = {}
        self._open = contextlib.ExitStack()

    def __repr__(self) -> str:
        return f"Lab(topics {self.prefix}…, schema {self.schema})"

    @cached_property
    def specs(self) -> Mapping[str, StreamSpec]:
        """The built-in streams on this chapter's topics, by name."""
        return {
            name: spec.evolve(topic=self.topic(spec.topic))
            for name, spec in builtin_specs().items()
        }

    def topic(self, name: str) -> str:
        """Return the chapter's topic of that name: ``ch03-`` before it."""
        return name if name.startswith(self.prefix) else self.prefix + name

    def group(self, name: str) -> str:
        """Return the chapter's consumer group of that name."""
        return name if name.startswith(self.prefix) else self.prefix + name

    def admin(self) -> TopicAdmin:
        """Return an administrator of topics."""
        admin = open_admin(self.settings)
        self._open.callback(admin.close)
        return admin

    def producer(self) -> EventProducer:
        """Return a producer."""
        producer = open_producer(self.settings)
        self._open.callback(producer.close)
        return producer

    def consumer(self, group: str, topics: Sequence[str]) -> EventConsumer:
        """Return a member of one of the chapter's groups."""
        consumer = open_consumer(
            self.settings,
            group=self.group(group),
            topics=[self.topic(topic) for topic in topics],
        )
        self._open.callback(consumer.close)
        return consumer

    @cached_property
    def store(self) -> PostgresStore:
        """The store, on the chapter's schema."""
        store = open_store(self.settings, application_name=f"chapter-{self.schema}")
        self._open.callback(store.close)
        return store

    @cached_property
    def registry(self) -> ModelRegistry:
        """The model registry; only models named ``ch05-…`` are the chapter's."""
        return ModelRegistry(self.settings.mlflow_tracking_uri)

    @property
    def model(self) -> str:
        """The registered name of the chapter's power model."""
        return model_name(self.settings, self.specs["datacenter"])

    def connect(self) -> psycopg2.extensions.connection:
        """Return a database connection of its own; names mean the chapter's tables."""
        import psycopg2

        connection = psycopg2.connect(
            self.settings.database_url.get_secret_value(),
            connect_timeout=5,
            application_name=f"chapter-{self.schema}",
            options=f"-c search_path={self.schema},public -c TimeZone=UTC "
            "-c statement_timeout=60s",
        )
        self._open.callback(connection.close)
        return connection

    def sql(
        self,
        query: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Run a query on the chapter's tables; return its rows as a frame."""
        import pandas as pd

        if self._reader.closed:
            del self._reader
        with self._reader.cursor() as cursor:
            cursor.execute(query, parameters)
            if cursor.description is None:
                return pd.DataFrame()
            names = [column.name for column in cursor.description]
            rows = [
                [float(v) if isinstance(v, Decimal) else v for v in row]
                for row in cursor.fetchall()
            ]
        return pd.DataFrame(rows, columns=names)

    @cached_property
    def _reader(self) -> psycopg2.extensions.connection:
        connection = self.connect()
        connection.autocommit = True
        return connection

    def start(
        self,
        *arguments: str,
        name: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> LabProcess:
        """Start ``rtmlops`` with these arguments, on the chapter's topics and tables.

        Parameters
        ----------
        *arguments : str
            As on the command line: ``"consume", "storage", "--until-idle", "3"``.
            A consumer gets a group of the chapter's unless one is given.
        name : str, optional
            What to call it; the last word of the command by default.
        settings : mapping of str to str, optional
            Variables ``RTMLOPS_…`` that it gets instead of the chapter's.

        Raises
        ------
        UsageError
            When one of that name runs already.
        """
        words = [word for word in arguments[:2] if not word.startswith("-")]
        name = name or words[-1]
        self._refuse_second(name)
        line = list(arguments)
        if words[0] == "consume" and "--group" not in line:
            line += ["--group", self.group(words[-1])]
        self.folder.mkdir(parents=True, exist_ok=True)
        environ = {**self._environment(), **(settings or {})}
        process = LabProcess(name, line, environ, self.folder)
        self._processes[name] = process
        return process

    def member(self, name: str, *, group: str, topic: str) -> GroupMember:
        """Start a process that belongs to one of the chapter's groups.

        Raises
        ------
        UsageError
            When one of that name runs already.
        """
        self._refuse_second(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        process = LabProcess(
            name,
            [self.group(group), self.topic(topic)],
            self._environment(),
            self.folder,
            command=("-m", "rtmlops_lib.teaching._belong"),
        )
        self._processes[name] = process
        return GroupMember(process)

    def run(self, *arguments: str, timeout: float = 120.0) -> str:
        """Run ``rtmlops`` with these arguments to its end; return what it printed.

        Its log is left out.

        Raises
        ------
        UsageError
            When it fails; the message carries the end of its output.
        """
        name = f"run-{len(self._processes)}"
        process = self.start(*arguments, name=name)
        code = process.wait(timeout)
        if code != 0:
            raise UsageError(
                f"'rtmlops {' '.join(arguments)}' ended with {code}:\n{process.tail()}"
            )
        return process.output.read_text(encoding="utf-8", errors="replace")

    def stop(self, name: str) -> int:
        """Stop a service; return its exit code."""
        return self._named(name).stop()

    def kill(self, name: str) -> None:
        """Kill a service, as a crash would."""
        self._named(name).kill()

    def services(self) -> pd.DataFrame:
        """Return the services that this chapter started, and how they are."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "service": process.name,
                    "command": process.line,
                    "state": "running"
                    if process.running
                    else f"ended with {process.exit_code}",
                }
                for process in self._processes.values()
            ]
        )

    def close(self) -> None:
        """Stop services, close connections; twice is fine."""
        for process in self._processes.values():
            process.stop()
        self._open.close()

    def _refuse_second(self, name: str) -> None:
        running = self._processes.get(name)
        if running is not None and running.running:
            raise UsageError(
                f"{name} runs already", remedy="stop it first, or give name=…"
            )

    def _named(self, name: str) -> LabProcess:
        if name not in self._processes:
            raise UsageError(
                f"no service is called {name!r}",
                remedy=f"started are: {', '.join(self._processes) or 'none'}",
            )
        return self._processes[name]

    def _environment(self) -> dict[str, str]:
        """Return the chapter's settings, and nobody else's, for a child process."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RTMLOPS_")
            and name not in ALIASES
            # Jupyter sets these: what goes to a file would carry escape codes.
            and name not in ("FORCE_COLOR", "CLICOLOR_FORCE")
        }
        return {
            **inherited,
            "RTMLOPS_HOME": str(self.settings.home.absolute()),
            "RTMLOPS_ENV_FILE": "",
            "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "RTMLOPS_DATABASE_URL": self.settings.database_url.get_secret_value(),
            "RTMLOPS_MLFLOW_TRACKING_URI": self.settings.mlflow_tracking_uri,
            "RTMLOPS_TOPIC_PREFIX": self.prefix,
            "RTMLOPS_DATABASE_SCHEMA": self.schema,
            # Else a chapter's monitor would ask the stack's own API to train.
            "RTMLOPS_API_URL": "",
        }
