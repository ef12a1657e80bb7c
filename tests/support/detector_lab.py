"""Simulated servers with anomalies, a detector to kill, and one that is left alone."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rtmlops_lib.settings import Settings
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import JsonCodec, StreamSpec, builtin_specs
from rtmlops_lib.transport.factory import open_admin
from tests.support.lab import Lab
from tests.support.service import Service, service

START = datetime(2026, 3, 2, tzinfo=UTC)
Record = tuple[bytes | None, bytes | None]


def simulated(
    stream: str, *, hours: float, servers: int = 12, seed: int = 3
) -> list[Record]:
    """Return the records of servers of which every tenth reading is anomalous."""
    settings = SimulatorSettings(
        servers=servers, interval_seconds=10, seed=seed, anomaly_prob=0.1
    )
    chunk = DatacenterSimulator(settings).span(START, START + timedelta(hours=hours))
    batch = getattr(chunk, stream)
    return list(zip(*JsonCodec(builtin_specs()[stream]).encode(batch), strict=True))


def spoiled(records: list[Record], *, seed: int = 1) -> list[Record]:
    """Return them with some repeats and some that are no events in between."""
    rng, found = random.Random(seed), []
    for key, value in records:
        found.append((key, value))
        if rng.random() < 0.02:
            found.append((key, value))
        if rng.random() < 0.01:
            found.append((key, b"{"))
    return found


class DetectorLab(Lab):
    """Topics and tables of one test; detectors that write to them by name."""

    def __init__(
        self, settings: Settings, folder: Path, stream: str = "datacenter"
    ) -> None:
        super().__init__(settings, folder)
        self.stream = stream
        built_in = builtin_specs()[stream]
        self.spec: StreamSpec = built_in.evolve(
            topic=settings.topic_prefix + built_in.topic
        )

    def create(self) -> None:
        with closing(open_store(self.settings)) as store:
            store.migrate([self.spec])
        with open_admin(self.settings) as admin:
            admin.ensure_topics([self.spec])

    def run(self, *more: str, name: str = "default", log: str = "", **env: str) -> Any:
        """Run a detector: its group has its name."""
        return service(
            self.settings,
            self.folder / (log or f"{name}.log"),
            *("consume", "detector", "--stream", self.stream),
            *("--detector", name, "--group", name, *more),
            RTMLOPS_MLFLOW_TRACKING_URI=self.settings.mlflow_tracking_uri,
            **env,
        )

    def until_idle(self, name: str = "default", **env: str) -> Service:
        with self.run("--until-idle", "1", name=name, **env) as running:
            assert running.wait(120) == 0, running.output()[-3000:]
            return running

    def consumed_by(self, group: str = "default") -> int:
        schema = self.settings.database_schema
        return int(
            self.sql(
                f"SELECT coalesce(sum(next_offset), 0) FROM {schema}.stream_offsets "
                f"WHERE consumer_group = '{group}'"
            )[0][0]
        )

    def scores(self, name: str = "default") -> Counter[tuple[Any, ...]]:
        """Return everything that a detector has said of single events."""
        schema, keys = self.settings.database_schema, ", ".join(self.spec.identity)
        table = "anomalies" if self.stream == "datacenter" else "service_anomalies"
        return Counter(
            self.sql(
                f"SELECT {keys}, score, severity, metric, flagged, witnesses, "
                f"model_version, kafka_partition, kafka_offset "
                f"FROM {schema}.{table} WHERE detector = '{name}'"
            )
        )

    def episodes(self, name: str = "default") -> Counter[tuple[Any, ...]]:
        """Return everything that a detector has told of episodes."""
        schema = self.settings.database_schema
        return Counter(
            self.sql(
                "SELECT stream, series_key, started_at, ended_at, peak_at, "
                "confirmed_at, peak_score, flagged_rows, severity, metric, "
                f"explanation, state FROM {schema}.anomaly_events "
                f"WHERE detector = '{name}'"
            )
        )

    def assert_same_as_undisturbed(self, name: str = "default") -> None:
        """Hold what a detector said against one that nothing happened to."""
        self.until_idle("undisturbed")
        mine, theirs = self.scores(name), self.scores("undisturbed")
        assert len(theirs) == sum(theirs.values()) == len(self.events())
        assert mine == theirs, _difference(mine, theirs)
        mine, theirs = self.episodes(name), self.episodes("undisturbed")
        assert theirs, "there is something to find"
        assert mine == theirs, _difference(mine, theirs)

    def events(self) -> set[tuple[Any, ...]]:
        """Return the identities that were scored by the undisturbed detector."""
        schema, keys = self.settings.database_schema, ", ".join(self.spec.identity)
        table = "anomalies" if self.stream == "datacenter" else "service_anomalies"
        return set(
            self.sql(
                f"SELECT {keys} FROM {schema}.{table} WHERE detector = 'undisturbed'"
            )
        )


def _difference(mine: Counter[Any], theirs: Counter[Any]) -> str:
    only, missing = mine - theirs, theirs - mine
    return (
        f"{sum(only.values())} only here, {sum(missing.values())} missing: "
        f"{sorted(map(str, only))[:3]} {sorted(map(str, missing))[:3]}"
    )
