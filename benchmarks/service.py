"""One of our services, timed from its first record to its last commit."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import rtmlops_lib.services.detector as detector_module
import rtmlops_lib.services.predictor as predictor_module
import rtmlops_lib.services.storage as storage_module
from rtmlops_lib.logs import configure_logging
from rtmlops_lib.models.aliases import CHAMPION
from rtmlops_lib.models.bundle import MANIFEST, MODEL, sha256
from rtmlops_lib.models.detect.witness_models import WitnessModels
from rtmlops_lib.models.forest_files import load_forest
from rtmlops_lib.models.hot_models import ServedModel
from rtmlops_lib.models.power_files import load_power
from rtmlops_lib.models.registry import ModelVersion
from rtmlops_lib.services.loop import ConsumeLoop
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.process import SWITCH_SECONDS
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec, builtin_specs


class Timed:
    """Passes everything on, and notes first records and last commit on the way."""

    first: float | None = None
    last = 0.0

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def poll_batch(self, *arguments: Any) -> Any:
        polled = self._inner.poll_batch(*arguments)
        if Timed.first is None and polled.records:
            Timed.first = time.perf_counter()
        return polled

    def write(self, group: str, batches: Any, *more: Any, **options: Any) -> Any:
        written = self._inner.write(group, batches, *more, **options)
        if batches:
            Timed.last = time.perf_counter()
        return written


class Fixed:
    """A model in fixed roles, where a service expects ``HotModels``."""

    def __init__(self, folder: Path, spec: StreamSpec, roles: list[str]) -> None:
        sums = {name: sha256(folder / name) for name in (MODEL, MANIFEST)}
        model = load_power(folder, sums, spec)
        self.name = "bench"
        self.snapshot = tuple(
            ServedModel(role, ModelVersion("bench", number, "", ""), model)
            for number, role in enumerate(roles, 1)
        )


class FixedWitnesses:
    """Two models, where the detector expects ``Witnesses``."""

    def __init__(self, spec: StreamSpec, power: Path, forest: Path) -> None:
        loaded = []
        for at, load in ((power, load_power), (forest, load_forest)):
            sums = {name: sha256(at / name) for name in (MODEL, MANIFEST)}
            version = ModelVersion("bench", 1, "", "")
            loaded.append(ServedModel(CHAMPION, version, load(at, sums, spec)))
        self.models = WitnessModels(*loaded)


def loop_of(
    kind: str, settings: Settings, spec: StreamSpec, group: str, more: list[str]
) -> ConsumeLoop:
    options = LoopOptions.from_settings(settings, until_idle=1.0)
    if kind == "storage":
        return storage_module.storage_loop(
            settings, [spec], group=group, options=options
        )
    if kind == "detector":
        witnesses = {spec.name: FixedWitnesses(spec, *map(Path, more))} if more else {}
        return detector_module.detector_loop(
            settings, [spec], witnesses, group=group, options=options
        )
    models = {spec.name: Fixed(Path(more[0]), spec, more[1:])}
    return predictor_module.predictor_loop(
        settings, [spec], models, group=group, options=options
    )


def timed(function: Any) -> Any:
    return lambda *arguments, **options: Timed(function(*arguments, **options))


def main() -> None:
    configure_logging("WARNING")
    sys.setswitchinterval(SWITCH_SECONDS)
    kind, client, bootstrap, topic, url, schema, group, *more = sys.argv[1:]
    settings = Settings(
        kafka_bootstrap_servers=bootstrap,
        kafka_client=client,
        database_url=url,
        database_schema=schema,
    )
    for module in (storage_module, predictor_module, detector_module):
        module.open_consumer = timed(module.open_consumer)
        module.open_store = timed(module.open_store)
    spec = builtin_specs()["datacenter"].evolve(topic=topic)
    code = loop_of(kind, settings, spec, group, more).run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = Timed.last - (Timed.first or 0.0)
    print(json.dumps({"code": code, "seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
