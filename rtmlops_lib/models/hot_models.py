"""The models that serve now, exchanged while they serve."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.aliases import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    PROBATION,
    WATCHING,
)
from rtmlops_lib.models.bundle import MANIFEST, MODEL
from rtmlops_lib.models.errors import ModelRefused
from rtmlops_lib.models.model_cache import ModelCache
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion

__all__ = ["HotModels", "HotState", "ServedModel"]

log = get_logger(__name__)
ModelT = TypeVar("ModelT")

POLL_SECONDS = 5.0
JITTER = 0.2
# A refused version may have been cut on its way: it is fetched anew after this time.
REFUSED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ServedModel(Generic[ModelT]):
    """A verified model and the role it serves in."""

    role: str
    version: ModelVersion
    model: ModelT


@dataclass(frozen=True, slots=True)
class HotState:
    """What ``HotModels`` knows of itself.

    Parameters
    ----------
    registry_up : bool
        Whether the last poll was answered.
    from_disk : bool
        Whether the champion is the last verified one because the registry is away.
    loads, refusals : int
        Versions taken into service, and refused, since the start.
    problem : str
        Why there is no champion, or why the newest one does not serve; else empty.
    """

    registry_up: bool = False
    from_disk: bool = False
    loads: int = 0
    refusals: int = 0
    problem: str = "the registry has not been asked yet"


class HotModels(Generic[ModelT]):
    """Follows a model's aliases and swaps what is served, off the serving thread.

    ``snapshot`` is one reference that is replaced as a whole: read it once a batch,
    and the batch has one version of each role. A version that any check refuses never
    enters it; what served before goes on.

    Parameters
    ----------
    registry : ModelRegistry
    name : str
        The registered model.
    load : callable
        Turns a folder with files and their version into a verified model; raises
        ``ModelRefused``.
    cache : Path
        Where verified files are kept, this model's own folder.
    roles : tuple of str
        Aliases that serve. ``previous`` among them serves only while the champion is
        on probation; else it is only kept loaded, so that a rollback needs no
        download.
    poll_seconds : float
        Time between two looks at the aliases, 20 % more or less.

    Notes
    -----
    Taught in chapter 06.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        name: str,
        load: Callable[[Path, ModelVersion], ModelT],
        cache: Path,
        *,
        roles: tuple[str, ...] = (CHAMPION, CHALLENGER),
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.name = name
        self.snapshot: tuple[ServedModel[ModelT], ...] = ()
        self.state = HotState()
        self._registry = registry
        self._load = load
        self._cache = ModelCache(cache)
        self._roles = roles
        self._poll_seconds = poll_seconds
        self._loaded: dict[Any, ModelT] = {}
        self._refused: dict[Any, tuple[float, str]] = {}
        self._stop = threading.Event()
        self._first = threading.Event()
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow the aliases, on a thread of its own."""
        self._thread = threading.Thread(
            target=self._run, name=f"models-{self.name}", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Return whether there is a champion, waiting up to so many seconds."""
        return self._first.wait(seconds)

    @property
    def asked(self) -> bool:
        """Whether the first look is over: what could be had of it, serves."""
        return self._asked.is_set()

    def close(self) -> None:
        """Stop following; what is served stays. Twice is fine."""
        self._stop.set()
        if self._thread is not None:
            # A call that is under way ends by its own timeout.
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.poll()
            pause = self._poll_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
            self._stop.wait(pause)

    def poll(self) -> None:
        """Look at the aliases once and take in what changed; raises nothing."""
        try:
            self._poll()
        except Exception:
            # A thread that dies would freeze the models without a word.
            log.exception("model_poll_failed", model=self.name)
            self._note(registry_up=False)
        finally:
            self._asked.set()

    def _poll(self) -> None:
        try:
            wanted = self._wanted()
        except RtmlopsError as error:
            self._registry_away(error)
            return
        if not self.state.registry_up:
            log.info("registry_answers", model=self.name)
        problem = "" if CHAMPION in wanted else self._no_champion()
        served: list[ServedModel[ModelT]] = []
        roles = self._roles if _on_probation(wanted) else _without(self._roles)
        for role in roles:
            one = self._serve(role, wanted[role]) if role in wanted else None
            if isinstance(one, str):
                problem = one if role == CHAMPION else problem
            elif one is not None:
                served.append(one)
        if PREVIOUS in wanted and PREVIOUS not in roles:
            self._serve(PREVIOUS, wanted[PREVIOUS])
        if not any(one.role == CHAMPION for one in served):
            # What served before goes on, whatever became of its alias.
            served += [one for one in self.snapshot if one.role == CHAMPION]
        self._note(registry_up=True, problem=problem)
        self._swap(tuple(served), from_disk=self.state.from_disk and bool(problem))
        self._forget([*wanted.values(), *(one.version for one in served)])

    def _wanted(self) -> dict[str, ModelVersion]:
        aliases = self._registry.aliases(self.name)
        roles = {*self._roles, PREVIOUS} & aliases.keys()
        return {
            role: self._registry.version(self.name, aliases[role]) for role in roles
        }

    def _serve(
        self, role: str, version: ModelVersion
    ) -> ServedModel[ModelT] | str | None:
        """Return the version ready to serve, or why it is not."""
        key = _key(version)
        if key in self._loaded:
            return ServedModel(role, version, self._loaded[key])
        since, reason = self._refused.get(key, (0.0, ""))
        if reason and time.monotonic() - since < REFUSED_SECONDS:
            return reason
        try:
            folder = self._cache.fetch(self._registry, version)
            self._loaded[key] = self._load(folder, version)
        except ModelRefused as error:
            self._cache.discard(version)
            reason = f"{self.name} v{version.version} was refused: {error.message}"
            self._refused[key] = (time.monotonic(), reason)
            self._note(refusals=self.state.refusals + 1)
            log.error(
                "model_refused",
                model=self.name,
                version=version.version,
                role=role,
                error=error.message,
                remedy=error.remedy,
            )
            return reason
        except (RtmlopsError, OSError) as error:
            log.warning(
                "model_not_fetched",
                model=self.name,
                version=version.version,
                error=str(error),
            )
            return f"{self.name} v{version.version} cannot be fetched: {error}"
        self._refused.pop(key, None)
        self._note(loads=self.state.loads + 1)
        return ServedModel(role, version, self._loaded[key])

    def _registry_away(self, error: Exception) -> None:
        if self.state.registry_up or not self.state.problem:
            log.warning("registry_away", model=self.name, error=str(error))
        self._note(registry_up=False, problem="" if self.snapshot else str(error))
        if self.snapshot:
            return
        version = self._cache.remembered()
        if version is None or version.name != self.name:
            return
        try:
            model = self._load(self._cache.path(version), version)
        except ModelRefused as refused:
            log.error(
                "model_refused",
                model=self.name,
                version=version.version,
                role=CHAMPION,
                error=refused.message,
            )
            self._note(refusals=self.state.refusals + 1, problem=str(refused))
            return
        self._loaded[_key(version)] = model
        self._note(loads=self.state.loads + 1, problem="")
        self._swap((ServedModel(CHAMPION, version, model),), from_disk=True)

    def _swap(
        self, served: tuple[ServedModel[ModelT], ...], *, from_disk: bool
    ) -> None:
        before = {one.role: one.version.version for one in self.snapshot}
        now = {one.role: one.version.version for one in served}
        self.snapshot = served
        self._note(from_disk=from_disk)
        champion = next((one for one in served if one.role == CHAMPION), None)
        if champion is not None:
            self._first.set()
            if not from_disk:
                self._remember(champion.version)
        if before != now or from_disk:
            log.info("models_swapped", model=self.name, **now, from_disk=from_disk)

    def _remember(self, version: ModelVersion) -> None:
        remembered = self._cache.remembered()
        if remembered is not None and _key(remembered) == _key(version):
            return
        try:
            self._cache.remember(version)
        except OSError as error:
            log.warning("model_cache_failed", model=self.name, error=str(error))

    def _forget(self, versions: list[ModelVersion]) -> None:
        keys = {_key(version) for version in versions}
        self._loaded = {k: m for k, m in self._loaded.items() if k in keys}
        self._refused = {k: r for k, r in self._refused.items() if k in keys}
        try:
            self._cache.keep_only(versions)
        except OSError as error:
            log.warning("model_cache_failed", model=self.name, error=str(error))

    def _no_champion(self) -> str:
        return (
            f"{self.name} has no champion; run 'rtmlops train', or "
            "'rtmlops models promote VERSION'"
        )

    def _note(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


def _on_probation(wanted: Mapping[str, ModelVersion]) -> bool:
    champion = wanted.get(CHAMPION)
    return champion is not None and champion.tags.get(PROBATION) == WATCHING


def _without(roles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(role for role in roles if role != PREVIOUS)


def _key(version: ModelVersion) -> tuple[int, tuple[tuple[str, str], ...]]:
    # Not the number alone: a registry that was made anew counts from 1 again.
    files = {k: v for k, v in version.sha256.items() if k in (MODEL, MANIFEST)}
    return version.version, tuple(sorted(files.items()))
