"""Train, judge, register, promote: what ``rtmlops train power`` and the trainer do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.aliases import CHAMPION, complete_moves
from rtmlops_lib.models.bundle import MANIFEST, MODEL, sha256
from rtmlops_lib.models.dataset import Dataset
from rtmlops_lib.models.decide import decide, is_promoted
from rtmlops_lib.models.errors import ModelRefused
from rtmlops_lib.models.figures import training_figures
from rtmlops_lib.models.gate import Check, GateReport
from rtmlops_lib.models.lineage import lineage_tags
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.power_files import load_power, save_power
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.models.rows import rows_of_store
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.models.training import Trained, gate_of, train_power
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Beside",
    "Outcome",
    "load_version",
    "promote_power",
    "reference_sample",
    "train_power_model",
]

REFERENCE = "reference.parquet"
Beside = Callable[[Path, "pd.DataFrame", Trained], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training did."""

    version: ModelVersion
    trained: Trained
    gate: GateReport
    events: list[ModelEvent]

    @property
    def promoted(self) -> bool:
        """Whether the version is champion now."""
        return is_promoted(self.version, self.events)


def train_power_model(
    registry: ModelRegistry,
    store: PostgresStore,
    name: str,
    spec: StreamSpec,
    frame: pd.DataFrame,
    *,
    flagged: NDArray[np.bool_] | None = None,
    settings: PowerSettings | None = None,
    source: str = "store",
    promote: bool = True,
    beside: Beside | None = None,
    tags: Mapping[str, str] | None = None,
    on_step: Callable[[str], None] = lambda text: None,
    on_registered: Callable[[ModelVersion], None] = lambda version: None,
) -> Outcome:
    """Train on rows, register the version, and promote it if the gate lets it pass.

    Parameters
    ----------
    name : str
        The registered model.
    frame : DataFrame
        See ``Dataset.of_frame``.
    promote : bool
        Else the version becomes challenger, whatever the gate says.
    beside : callable, optional
        Given a folder, the reference sample and what was trained, before the version
        is registered: files that it writes there become artifacts like the others,
        what it returns becomes tags.
    tags : mapping of str to str, optional
        More tags of the version.
    on_step : callable
        Told what begins now.
    on_registered : callable
        Told the version before any alias moves; what it raises leaves it at that.
    """
    settings = PowerSettings() if settings is None else settings
    on_step("splitting rows by time")
    dataset = Dataset.of_frame(frame, spec, settings, flagged=flagged)
    trained = train_power(dataset, settings, on_step=on_step)
    on_step("comparing with the champion")
    champion_version = registry.aliases(name).get(CHAMPION)
    gate = _gate(
        registry,
        name,
        spec,
        dataset,
        trained.model,
        trained.baseline,
        champion_version,
        settings,
    )
    on_step("drawing")
    unit = spec.fields[spec.target or ""].unit
    figures = training_figures(trained, unit)
    with tempfile.TemporaryDirectory(prefix="rtmlops-model-") as place:
        folder = Path(place)
        hashes = save_power(folder, trained, spec)
        sample = reference_sample(frame, spec, settings.reference_rows)
        sample.to_parquet(folder / REFERENCE, index=False)
        more = dict(tags or {})
        if beside is not None:
            on_step("calibrating what drift is held against")
            more |= beside(folder, sample, trained)
        hashes |= {path.name: sha256(path) for path in folder.iterdir()}
        version = registry.register(
            name,
            folder,
            hashes=hashes,
            params={**settings.model_dump(exclude={"gate"}), **_flat(settings)},
            metrics={
                **trained.metrics,
                "fit_seconds": trained.fit_seconds,
                "rows": dataset.rows,
                "flagged_share": dataset.flagged_share or 0.0,
            },
            tags={**lineage_tags(trained, spec, source, gate), **more},
            figures=figures,
            on_step=on_step,
        )
    on_registered(version)
    on_step("moving aliases")
    events = decide(registry, store, version, gate, champion_version, promote=promote)
    return Outcome(version, trained, gate, events)


def promote_power(
    registry: ModelRegistry,
    store: PostgresStore,
    name: str,
    spec: StreamSpec,
    version: int,
    *,
    settings: PowerSettings | None = None,
    on_step: Callable[[str], None] = lambda text: None,
    before_move: Callable[[], None] = lambda: None,
) -> tuple[GateReport, list[ModelEvent]]:
    """Run the gate for a registered version on stored rows; promote it if it passes.

    The rows it is judged on begin where its own training ended and reach to now.
    ``on_step`` is told what begins now, ``before_move`` called once the verdict stands:
    what either raises leaves the aliases as they are.
    """
    settings = PowerSettings() if settings is None else settings
    on_step("loading the version")
    complete_moves(registry, store, name)
    found = registry.version(name, version)
    candidate = load_version(registry, found, spec)
    champion_version = registry.aliases(name).get(CHAMPION)
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
        on_rows=lambda count: on_step(f"reading rows: {count:,}"),
    )
    on_step("splitting rows by time")
    dataset = Dataset.of_frame(frame, spec, settings, flagged=flagged, split_at=split)
    on_step("fitting the baseline")
    linear = settings.model_copy(update={"kind": "linear"})
    baseline = PowerModel.fit(
        dataset.features, dataset.train.x, dataset.train.y, linear
    )
    on_step("comparing with the champion")
    gate = _gate(
        registry,
        name,
        spec,
        dataset,
        candidate,
        baseline,
        champion_version,
        settings,
    )
    before_move()
    events = decide(registry, store, found, gate, champion_version, promote=True)
    return gate, events


def load_version(
    registry: ModelRegistry, version: ModelVersion, spec: StreamSpec
) -> PowerModel:
    """Download a version and return its model, every check passed."""
    with tempfile.TemporaryDirectory(prefix="rtmlops-model-") as place:
        registry.download(version, (MODEL, MANIFEST), Path(place))
        return load_power(Path(place), version.sha256, spec)


def reference_sample(
    frame: pd.DataFrame, spec: StreamSpec, at_most: int
) -> pd.DataFrame:
    """Return raw rows of whole instants, evenly spread over the window.

    What drift tests compare with later: nothing scaled, filled or left out.
    """
    time = frame[spec.time.field]
    if len(frame) <= at_most:
        return frame.sort_values(spec.time.field, ignore_index=True)
    instants = np.sort(time.unique())
    step = -(-len(frame) // at_most)
    kept = frame.loc[time.isin(instants[::step])]
    return kept.sort_values(spec.time.field, ignore_index=True)


def _gate(
    registry: ModelRegistry,
    name: str,
    spec: StreamSpec,
    dataset: Dataset,
    candidate: PowerModel,
    baseline: PowerModel,
    champion_version: int | None,
    settings: PowerSettings,
) -> GateReport:
    against, champion = f"champion v{champion_version}", None
    if champion_version is not None:
        try:
            found = registry.version(name, champion_version)
            champion = load_version(registry, found, spec)
        except ModelRefused as error:
            # The candidate is registered all the same: it may be promoted by force.
            check = Check("champion can be compared with", False, error.message)
            return GateReport(against, (check,))
    return gate_of(
        dataset,
        candidate,
        champion,
        baseline=baseline,
        against=against,
        settings=settings,
    )


def _flat(settings: PowerSettings) -> dict[str, object]:
    return {f"gate.{k}": v for k, v in settings.gate.model_dump().items()}
