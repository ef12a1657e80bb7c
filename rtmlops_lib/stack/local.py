"""The local live stack: real parts, supervised, without Docker, Java or root."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from rtmlops_lib.errors import DependencyUnavailable, UsageError
from rtmlops_lib.settings import Settings, parse_env_file
from rtmlops_lib.stack._bootstrap import bootstrap, ensure_database
from rtmlops_lib.stack._choose_postgres import choose_postgres, is_url
from rtmlops_lib.stack._disk import full_disk_is_told, require_room
from rtmlops_lib.stack._environment import child_environment
from rtmlops_lib.stack._home import StackHome
from rtmlops_lib.stack._jars import JarCache
from rtmlops_lib.stack._kafka import KafkaPart
from rtmlops_lib.stack._mlflow import MlflowPart
from rtmlops_lib.stack._ports import require_free
from rtmlops_lib.stack._postgres import PostgresPart
from rtmlops_lib.stack._probes import (
    kafka_answers,
    mlflow_answers,
    postgres_answers,
    service_is_ready,
)
from rtmlops_lib.stack._processes import (
    resident_bytes,
    stack_processes,
)
from rtmlops_lib.stack._program import Program
from rtmlops_lib.stack._publish import publish
from rtmlops_lib.stack._ready import wait_ready, wait_running
from rtmlops_lib.stack._reporter import Reporter
from rtmlops_lib.stack._supervisor import Supervisor
from rtmlops_lib.stack.description import PartStatus, StackInfo
from rtmlops_lib.stack.services import MAY_WAIT, SERVICES, Service, chosen_services

__all__ = ["LocalStack"]

_PORT_SETTINGS = {
    "kafka": "RTMLOPS_STACK_KAFKA_PORT",
    "postgres": "RTMLOPS_STACK_POSTGRES_PORT",
    "mlflow": "RTMLOPS_STACK_MLFLOW_PORT",
}


class LocalStack:
    """Starts, stops and describes the stack of one home folder.

    Parameters
    ----------
    settings : Settings
        Home and ports.
    reporter : Reporter, optional
        Told what happens; silent by default.
    environ : mapping of str to str, optional
        What the processes inherit, less what would change them; ours by default.

    Notes
    -----
    Taught in chapter 01.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reporter: Reporter | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.home = StackHome(settings.home)
        self._reporter = reporter or Reporter()
        self._environ = dict(os.environ if environ is None else environ)
        self._supervisor = Supervisor(self.home)

    def up(self, services: str = "all", postgres: str | None = None) -> StackInfo:
        """Start what is not running, wait until it answers, publish where it is.

        Parameters
        ----------
        services : str
            Names with commas, ``all`` or ``none``.
        postgres : str, optional
            ``auto``, ``embedded``, ``system`` or a URL; the setting by default.

        Raises
        ------
        DependencyUnavailable
            A port is taken, the disk is full, the network is needed and away, or a
            part does not get ready.
        UsageError
            A running stack has another shape, or a choice is impossible.
        """
        chosen = chosen_services(services)
        with full_disk_is_told(self.home.path):
            self.home.create()
            with self.home.locked("rtmlops up"):
                return self._up(chosen, postgres or self.settings.stack_postgres)

    def _up(self, services: list[Service], choice: str) -> StackInfo:
        database, url = self._database(choice)
        if database is None:
            self._check_given_database(url)
        jars = JarCache.for_user(self.home.path, self._environ)
        kafka = KafkaPart(self.home, self.settings.stack_kafka_port, jars)
        mlflow = MlflowPart(self.home, self.settings.stack_mlflow_port)
        parts: list[Program] = [kafka.program(), mlflow.program()]
        if database is not None:
            parts.append(database.program())
        programs = [*parts, *self._service_programs()]

        if self._supervisor.is_running():
            if not self._supervisor.configured_as(programs):
                raise UsageError(
                    "the stack is running with other ports, another PostgreSQL or "
                    "another environment than asked for now",
                    remedy="run 'rtmlops down' first; data stay",
                )
        else:
            self._start_supervisor(programs, parts, kafka, database, jars)
        states = self._supervisor.states()
        for program in parts:
            if not states[program.name]["pid"]:
                self._reporter.state(program.name, "starting")
                self._supervisor.start_program(program.name)

        probes: dict[str, Callable[[], str | None]] = {
            "kafka": partial(kafka_answers, kafka.bootstrap_servers),
            "mlflow": partial(mlflow_answers, mlflow.tracking_uri),
        }
        if database is not None:
            probes["postgres"] = partial(postgres_answers, database.url_of("postgres"))
        # MLflow is the slowest, and nothing below needs it: it is waited for last.
        slowest = {"mlflow": probes.pop("mlflow")}
        wait_ready(probes, self._supervisor, self.home.logs, self._reporter)
        if database is not None:
            ensure_database(database)
        info = StackInfo(
            home=self.home.path,
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            database_url=url,
            mlflow_tracking_uri=mlflow.tracking_uri,
            postgres=database.binaries.title if database else "given by URL",
        )
        publish(self.home, info, self.settings)
        bootstrap(self._own_settings(info), practice=database is not None)
        self._start_services(services)
        wait_ready(slowest, self._supervisor, self.home.logs, self._reporter)
        return info

    def down(self, *, wipe: bool = False) -> int:
        """Stop everything, also what a dead supervisor left; return what was killed.

        Parameters
        ----------
        wipe : bool
            Remove the data too. The folder must be a stack's home.

        Raises
        ------
        UsageError
            ``wipe`` of a folder that is no stack's home.
        """
        if not self.home.exists:
            if wipe:
                self.home.wipe()
            return 0
        with self.home.locked("rtmlops down"):
            killed = self._supervisor.shut_down()
            if wipe:
                self.home.wipe()
        return killed

    def start(self, name: str) -> None:
        """Start one part or service of a running stack, and wait until it answers."""
        self._require_running(name)
        self._supervisor.start_program(name)
        self._reporter.state(name, "starting")
        probe = self._probe(name)
        if name in MAY_WAIT:
            self._wait_running([name])
        elif probe is not None:
            wait_ready({name: probe}, self._supervisor, self.home.logs, self._reporter)

    def stop(self, name: str) -> None:
        """Stop one part or service of a running stack; it stays stopped."""
        self._require_running(name)
        self._supervisor.stop_program(name)
        self._reporter.state(name, "stopped")

    def restart(self, name: str) -> None:
        """Stop and start one part or service."""
        self.stop(name)
        self.start(name)

    def is_running(self) -> bool:
        """Whether the stack's supervisor answers."""
        return self.home.exists and self._supervisor.is_running()

    def status(self) -> list[PartStatus]:
        """Describe each part and service; all stopped where the stack is down."""
        known = self._supervisor.states() if self.is_running() else {}
        ports = self.ports()
        names = ["kafka", "postgres", "mlflow", *(s.name for s in SERVICES)]
        found = []
        for name in names:
            item = known.get(name)
            if name == "postgres" and known and item is None:
                continue  # somebody else's server, given by URL
            pid = (item or {}).get("pid") or None
            started = (item or {}).get("start") or 0
            found.append(
                PartStatus(
                    name=name,
                    state=str((item or {}).get("statename", "stopped")).lower(),
                    pid=pid,
                    port=ports.get(name),
                    since=datetime.fromtimestamp(started, UTC) if pid else None,
                    memory_bytes=resident_bytes(pid) if pid else 0,
                )
            )
        return found

    def why_not_ready(self, name: str) -> str | None:
        """Ask one part or service whether it is ready; None = it is."""
        probe = self._probe(name)
        return None if probe is None else probe()

    def ports(self) -> dict[str, int]:
        """Return the port of each part and service that has one."""
        ports = {
            "kafka": self.settings.stack_kafka_port,
            "postgres": self.settings.stack_postgres_port,
            "mlflow": self.settings.stack_mlflow_port,
        }
        for service in SERVICES:
            if service.port_offset is not None:
                first = self.settings.stack_metrics_port
                ports[service.name] = first + service.port_offset
        return ports

    def log_files(self, name: str | None = None) -> list[Path]:
        """Return the logs that exist, of one part or of all.

        Raises
        ------
        UsageError
            For a name that is none, or one that has not written yet.
        """
        if name is None:
            return sorted(self.home.logs.glob("*.log"))
        self._require_known(name, {"supervisord"})
        path = self.home.logs / f"{name}.log"
        if not path.is_file():
            raise UsageError(
                f"{name} has no log yet", remedy="start it with 'rtmlops up'"
            )
        return [path]

    def _start_supervisor(
        self,
        programs: list[Program],
        parts: list[Program],
        kafka: KafkaPart,
        database: PostgresPart | None,
        jars: JarCache,
    ) -> None:
        if left := stack_processes(self.home.path):
            self._reporter.say(
                f"ending {len(left)} processes of this stack whose supervisor had died"
            )
            self._supervisor.shut_down()
        if database is not None:
            # After a reboot its pid may be somebody else's; nobody runs here now.
            (database.data / "postmaster.pid").unlink(missing_ok=True)
        for program in parts:
            require_free(program.port, program.name, _PORT_SETTINGS[program.name])
        require_free(
            kafka.controller_port,
            "kafka's controller (the port after Kafka's own)",
            _PORT_SETTINGS["kafka"],
        )
        require_room(self.home.path)
        jars.ensure(self._reporter)
        with ThreadPoolExecutor(max_workers=2) as pool:
            tasks = [pool.submit(kafka.prepare)]
            if database is not None:
                tasks.append(pool.submit(database.prepare, self._reporter))
            for task in tasks:
                task.result()
        environ = child_environment(self.home.path, self.settings, self._environ)
        self._supervisor.start(programs, environ)

    def _start_services(self, services: list[Service]) -> None:
        states = self._supervisor.states()
        probes: dict[str, Callable[[], str | None]] = {}
        ports = self.ports()
        for service in services:
            name = service.name
            if not states[name]["pid"]:
                if name in ports:
                    require_free(ports[name], name, "RTMLOPS_STACK_METRICS_PORT")
                self._reporter.state(name, "starting")
                self._supervisor.start_program(name)
            probe = self._probe(name)
            if probe is not None and not service.may_wait:
                probes[name] = probe
        wait_ready(
            probes, self._supervisor, self.home.logs, self._reporter, timeout_seconds=45
        )
        self._wait_running([service.name for service in services if service.may_wait])

    def _wait_running(self, names: list[str]) -> None:
        ports = {name: self.ports()[name] for name in names}
        wait_running(ports, self._supervisor, self.home.logs, self._reporter)

    def _database(self, choice: str) -> tuple[PostgresPart | None, str]:
        record = self.home.read_record()
        recorded = record.get("postgres", {})
        if choice == "auto" and recorded.get("kind") == "url":
            choice = parse_env_file(self.home.env_file).get("RTMLOPS_DATABASE_URL", "")
        if is_url(choice):
            self.home.write_record({**record, "postgres": {"kind": "url"}})
            return None, choice
        binaries = choose_postgres(
            choice,
            {} if recorded.get("kind") == "url" else recorded,
            self.home.postgres,
        )
        decided = {
            "kind": binaries.kind,
            "major": binaries.major,
            "folder": str(binaries.folder),
            "timescaledb": binaries.timescaledb,
        }
        if decided != recorded:
            self.home.write_record({**record, "postgres": decided})
        part = PostgresPart(self.home, self.settings.stack_postgres_port, binaries)
        return part, part.url

    def _check_given_database(self, url: str) -> None:
        why = postgres_answers(url)
        if why is not None:
            raise DependencyUnavailable(
                f"the database given with --postgres does not answer: {why}",
                remedy="start it, or give --postgres embedded",
            )

    def _service_programs(self) -> list[Program]:
        first = self.settings.stack_metrics_port
        return [service.program(self.home, first) for service in SERVICES]

    def _own_settings(self, info: StackInfo) -> Settings:
        # Never the caller's addresses: .env may name a production server.
        return Settings(
            kafka_bootstrap_servers=info.kafka_bootstrap_servers,
            database_url=SecretStr(info.database_url),
            mlflow_tracking_uri=info.mlflow_tracking_uri,
            topic_prefix=self.settings.topic_prefix,
            home=self.home.path,
        )

    def _probe(self, name: str) -> Callable[[], str | None] | None:
        port = self.ports().get(name)
        if port is None:
            return None
        if name == "kafka":
            return partial(kafka_answers, f"127.0.0.1:{port}")
        if name == "mlflow":
            return partial(mlflow_answers, f"http://127.0.0.1:{port}")
        if name == "postgres":
            url = parse_env_file(self.home.env_file).get("RTMLOPS_DATABASE_URL", "")
            return partial(postgres_answers, url)
        return partial(service_is_ready, port)

    def _require_known(self, name: str, also: set[str] | None = None) -> None:
        known = {"kafka", "postgres", "mlflow", *(s.name for s in SERVICES)}
        if name not in known | (also or set()):
            raise UsageError(
                f"nothing here is called {name!r}", remedy=f"one of {sorted(known)}"
            )

    def _require_running(self, name: str) -> None:
        self._require_known(name)
        if not self.is_running():
            raise DependencyUnavailable(
                f"the stack in {self.home.path} is not running",
                remedy="start it with 'rtmlops up'",
            )
