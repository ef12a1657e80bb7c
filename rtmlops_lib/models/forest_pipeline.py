"""Train, judge, register, promote: what ``rtmlops train anomaly`` does."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.aliases import CHAMPION, complete_moves
from rtmlops_lib.models.bundle import MANIFEST, MODEL
from rtmlops_lib.models.decide import decide, is_promoted
from rtmlops_lib.models.detect import AnomalyForest
from rtmlops_lib.models.errors import ModelRefused
from rtmlops_lib.models.forest_dataset import ForestDataset
from rtmlops_lib.models.forest_files import load_forest, save_forest
from rtmlops_lib.models.forest_gate import judge_forest
from rtmlops_lib.models.forest_settings import ForestSettings
from rtmlops_lib.models.gate import Check, GateReport
from rtmlops_lib.models.lineage import environment_tags
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.models.rows import rows_of_store
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ForestOutcome",
    "load_forest_version",
    "promote_forest",
    "train_detector_model",
]


@dataclass(frozen=True, slots=True)
class ForestOutcome:
    """What a training did."""

    version: ModelVersion
    forest: AnomalyForest
    dataset: ForestDataset
    metrics: dict[str, float]
    gate: GateReport
    events: list[ModelEvent]

    @property
    def promoted(self) -> bool:
        """Whether the version is champion now."""
        return is_promoted(self.version, self.events)


def train_detector_model(
    registry: ModelRegistry,
    store: PostgresStore,
    name: str,
    spec: StreamSpec,
    frame: pd.DataFrame,
    *,
    flagged: NDArray[np.bool_] | None = None,
    settings: ForestSettings | None = None,
    source: str = "store",
    promote: bool = True,
    tags: Mapping[str, str] | None = None,
    on_step: Callable[[str], None] = lambda text: None,
    on_registered: Callable[[ModelVersion], None] = lambda version: None,
) -> ForestOutcome:
    """Train on rows, register the version, and promote it if the gate lets it pass.

    Parameters
    ----------
    name : str
        The registered model.
    frame : DataFrame
        See ``ForestDataset.of_frame``.
    promote : bool
        Else the version becomes challenger, whatever the gate says; a detector does
        not ask it.
    tags : mapping of str to str, optional
        More tags of the version.
    on_step : callable
        Told what begins now.
    on_registered : callable
        Told the version before any alias moves; what it raises leaves it at that.

    Notes
    -----
    Taught in chapter 07.
    """
    settings = ForestSettings() if settings is None else settings
    dataset = ForestDataset.of_frame(
        frame,
        spec,
        settings,
        flagged=flagged,
        on_rows=lambda count: on_step(f"computing deviations: {count:,} rows"),
    )
    on_step("fitting the forest")
    begun = time.monotonic()
    forest = AnomalyForest.fit(spec.numeric_fields, dataset.train, settings)
    seconds = time.monotonic() - begun
    on_step("judging it on held-out rows")
    champion = registry.aliases(name).get(CHAMPION)
    gate, metrics = _gate(registry, name, dataset, forest, champion, settings)
    metrics |= {
        "fit_seconds": seconds,
        "rows": dataset.rows,
        "flagged_share": dataset.flagged_share or 0.0,
    }
    with tempfile.TemporaryDirectory(prefix="rtmlops-model-") as place:
        hashes = save_forest(Path(place), forest, dataset.holdout, spec, settings)
        version = registry.register(
            name,
            Path(place),
            hashes=hashes,
            params={
                **settings.model_dump(exclude={"gate"}),
                **{f"gate.{k}": v for k, v in settings.gate.model_dump().items()},
            },
            metrics=metrics,
            tags={**_lineage(dataset, metrics, gate, source), **(tags or {})},
            on_step=on_step,
        )
    on_registered(version)
    on_step("moving aliases")
    events = decide(registry, store, version, gate, champion, promote=promote)
    return ForestOutcome(version, forest, dataset, metrics, gate, events)


def promote_forest(
    registry: ModelRegistry,
    store: PostgresStore,
    name: str,
    spec: StreamSpec,
    version: int,
    *,
    settings: ForestSettings | None = None,
    on_step: Callable[[str], None] = lambda text: None,
    before_move: Callable[[], None] = lambda: None,
) -> tuple[GateReport, list[ModelEvent]]:
    """Run the gate for a registered version on stored rows; promote it if it passes.

    The rows it is judged on begin where its own training ended and reach to now.
    ``on_step`` is told what begins now, ``before_move`` called once the verdict stands:
    what either raises leaves the aliases as they are.
    """
    settings = ForestSettings() if settings is None else settings
    on_step("loading the version")
    complete_moves(registry, store, name)
    found = registry.version(name, version)
    candidate = load_forest_version(registry, found, spec)
    champion = registry.aliases(name).get(CHAMPION)
    try:
        start, split = (
            int(found.tags[key]) for key in ("window_start_us", "holdout_start_us")
        )
    except (KeyError, ValueError) as error:
        raise ModelRefused(
            f"manifest: v{version} does not say what it was trained on"
        ) from error
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    frame, flagged = rows_of_store(
        store,
        spec,
        since=epoch + timedelta(microseconds=start),
        fields=spec.numeric_fields,
        on_rows=lambda count: on_step(f"reading rows: {count:,}"),
    )
    dataset = ForestDataset.of_frame(
        frame,
        spec,
        settings,
        flagged=flagged,
        split_at=split,
        on_rows=lambda count: on_step(f"computing deviations: {count:,} rows"),
    )
    on_step("judging it on held-out rows")
    gate, _ = _gate(registry, name, dataset, candidate, champion, settings)
    before_move()
    events = decide(registry, store, found, gate, champion, promote=True)
    return gate, events


def load_forest_version(
    registry: ModelRegistry, version: ModelVersion, spec: StreamSpec
) -> AnomalyForest:
    """Download a version and return its forest, every check passed."""
    with tempfile.TemporaryDirectory(prefix="rtmlops-model-") as place:
        registry.download(version, (MODEL, MANIFEST), Path(place))
        return load_forest(Path(place), version.sha256, spec)


def _gate(
    registry: ModelRegistry,
    name: str,
    dataset: ForestDataset,
    candidate: AnomalyForest,
    champion_version: int | None,
    settings: ForestSettings,
) -> tuple[GateReport, dict[str, float]]:
    against, champion = "no forest", None
    if champion_version is not None:
        against = f"champion v{champion_version}"
        try:
            found = registry.version(name, champion_version)
            champion = load_forest_version(registry, found, dataset.spec)
        except ModelRefused as error:
            # The candidate is registered all the same: it may be promoted by force.
            check = Check("champion can be compared with", False, error.message)
            return GateReport(against, (check,)), {}
    return judge_forest(
        dataset, candidate, champion, against=against, settings=settings
    )


def _lineage(
    dataset: ForestDataset, metrics: dict[str, float], gate: GateReport, source: str
) -> dict[str, str]:
    first, last = dataset.window
    flagged = dataset.flagged_share
    return {
        "stream": dataset.spec.name,
        "source": source,
        "kind": "isolation_forest",
        "window_start": first,
        "window_end": last,
        "window_start_us": str(dataset.first_us),
        "holdout_start_us": str(dataset.split_us),
        "offsets": dataset.offsets,
        "rows": str(dataset.rows),
        "rows_trained": str(len(dataset.train)),
        "rows_held_out": str(len(dataset.holdout)),
        "flagged_share": "no flags exist" if flagged is None else f"{flagged:.6f}",
        "data_sha256": dataset.data_hash,
        "features": ",".join(dataset.spec.numeric_fields),
        "metrics": json.dumps({k: round(v, 6) for k, v in metrics.items()}),
        "gate": json.dumps(gate.to_dict()),
        **environment_tags(),
    }
