"""A probation whose rollback is killed in the middle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rtmlops_lib.models.aliases import CHAMPION, PREVIOUS, Move, move_aliases
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.services.probation_watch import ProbationWatch
from tests.support.loop_lab import HOUR, LoopLab, simulated
from tests.support.power_rows import START

pytestmark = [pytest.mark.live, pytest.mark.slow]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


class DyingRegistry(ModelRegistry):
    """Dies at the n-th move of an alias, before or after MLflow has done it."""

    def __init__(self, uri: str, at: int, *, after: bool) -> None:
        super().__init__(uri)
        self.left, self.after = at, after

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        super().set_alias(name, alias, version)
        if self.left == 0:
            raise Killed


@pytest.fixture
def worse(lab: LoopLab) -> LoopLab:
    """A champion, v2, that predicts far worse than v1, which it replaced."""
    (lab.folder / "files").mkdir()
    for version in (1, 2):
        # Versions without a model: what they predicted is in the table.
        lab.registry.register(
            lab.name, lab.folder / "files", hashes={}, params={}, metrics={}, tags={}
        )
        move_aliases(lab.registry, lab.store, lab.name, Move.promote(version))
    lab.store.backfill([simulated(0, 6)])
    for role, version, factor in ((CHAMPION, 2, 1.5), (PREVIOUS, 1, 1.02)):
        schema = lab.settings.database_schema
        lab.sql(
            f"INSERT INTO {schema}.predictions (time, server_id, model_name, role, "
            "model_version, predicted, kafka_partition, kafka_offset) SELECT time, "
            f"server_id, '{lab.name}', '{role}', {version}, power_kw * {factor}, 0, 0 "
            f"FROM {schema}.metrics"
        )
    return lab


def watch_of(
    lab: LoopLab, registry: ModelRegistry, told: list[str] | None = None
) -> ProbationWatch:
    def tell(reason: str, detail: Mapping[str, Any]) -> None:
        if told is not None:
            told.append(reason)

    return ProbationWatch(
        registry, lab.store, lab.spec, lab.name, seconds=86_400, on_rollback=tell
    )


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_rollback_killed_between_two_aliases_is_a_rollback(
    worse: LoopLab, at: int, after: bool
) -> None:
    lab = worse
    watched, _ = watch_of(lab, lab.registry).step(lab.registry.aliases(lab.name), START)
    assert watched is not None and watched.version == 2
    dying = DyingRegistry(lab.settings.mlflow_tracking_uri, at, after=after)
    with pytest.raises(Killed):
        watch_of(lab, dying).step(lab.registry.aliases(lab.name), START + 6 * HOUR)
    told: list[str] = []
    # The next process, told where the aliases stood when it looked.
    found = watch_of(lab, lab.registry, told).step(
        lab.registry.aliases(lab.name), START + 6 * HOUR
    )
    assert found == (None, "rolled_back")
    assert lab.registry.aliases(lab.name) == {CHAMPION: 1}
    assert (lab.registry.version(lab.name, 2).rolled_back or "").startswith("probation")
    (probation,) = lab.store.probations.newest()
    assert probation.state == "rolled_back"
    assert len(told) == 1 and told[0].startswith("probation: MAPE")
    again = watch_of(lab, lab.registry).step(
        lab.registry.aliases(lab.name), START + 6 * HOUR
    )
    assert again == (None, None)
