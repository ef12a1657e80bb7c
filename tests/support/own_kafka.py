"""A Kafka of one test's own, which it may stop, kill and sign in to."""

from __future__ import annotations

import signal
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from rtmlops_lib.stack._jars import JarCache
from rtmlops_lib.stack._kafka import java_executable
from tests.support.stacks import free_ports
from tests.support.waiting import wait_until

USER, PASSWORD = "ann", "of-no-secrecy"


class OwnKafka:
    """One broker with a plain listener and one that wants SASL."""

    def __init__(self, folder: Path, jars: JarCache) -> None:
        self.folder = folder
        self.plain, self.controller, self.sasl = free_ports(3)
        self._java = [str(java_executable()), "-Xmx256m", "-XX:+UseSerialGC"]
        self._java += ["-cp", jars.class_path]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.plain}"

    @property
    def sasl_bootstrap(self) -> str:
        return f"127.0.0.1:{self.sasl}"

    def format(self) -> None:
        security = "org.apache.kafka.common.security"
        plain = f"{security}.plain.PlainLoginModule required"
        scram = f"{security}.scram.ScramLoginModule required"
        protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
        sasl = "listener.name.sasl_plaintext"
        listeners = (
            f"PLAINTEXT://{self.bootstrap},SASL_PLAINTEXT://{self.sasl_bootstrap}"
        )
        (self.folder / "server.properties").write_text(
            f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self.controller}
listeners={listeners},CONTROLLER://127.0.0.1:{self.controller}
advertised.listeners={listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map={protocols},SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
{sasl}.plain.sasl.jaas.config={plain} user_{USER}="{PASSWORD}";
{sasl}.scram-sha-512.sasl.jaas.config={scram};
log.dirs=data
auto.create.topics.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1500
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
""",
            encoding="utf-8",
        )
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster]
        tool += ["--config", "server.properties", "--add-scram"]
        tool += [f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]
        subprocess.run(
            self._java + tool,
            cwd=self.folder,
            check=True,
            timeout=60,
            capture_output=True,
        )

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", "server.properties"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        wait_until(self._accepts, timeout=60, what="the broker accepts connections")

    def _accepts(self) -> bool:
        for port in (self.plain, self.sasl):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
            except OSError:
                return False
        return True

    def stall(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
