"""What any model must do, and what is refused although its error is fine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rtmlops_lib.models.behaviour import behaviour_checks
from rtmlops_lib.models.features import Features
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.settings import GateSettings, PowerSettings

FEATURES = Features(inputs=("cpu_usage", "temperature"), increasing=("cpu_usage",))


class Made:
    """An estimator that is a formula."""

    def __init__(self, formula: Any) -> None:
        self.formula = formula

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(self.formula(x), np.float64)


def rows(count: int = 2_000) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    random = np.random.default_rng(3)
    x = np.stack(
        [random.uniform(5, 95, count), random.uniform(30, 70, count)], axis=1
    ).astype(np.float32)
    return x, 1 + x[:, 0].astype(np.float64) / 50


def failed(model: PowerModel) -> list[str]:
    x, y = rows()
    checks = behaviour_checks(model, x, y, GateSettings())
    return [check.name for check in checks if not check.passed]


def made(formula: Any) -> PowerModel:
    return PowerModel(Made(formula), FEATURES, np.zeros(2, np.float32))


def test_a_trained_forest_passes() -> None:
    x, y = rows()
    settings = PowerSettings(trees=10, min_samples_leaf=3)
    assert failed(PowerModel.fit(FEATURES, x, y, settings)) == []


def test_a_constant_is_no_model() -> None:
    assert "no constant model" in failed(made(lambda x: np.full(len(x), 2.0)))


def test_more_load_must_not_predict_less() -> None:
    assert failed(made(lambda x: 3 - x[:, 0] / 50)) == [
        "more cpu_usage never predicts less"
    ]


@pytest.mark.parametrize("share, passes", [(0.01, True), (0.2, False)])
def test_a_dip_is_let_pass_up_to_the_stated_share(share: float, passes: bool) -> None:
    _, y = rows()
    dip = share * float(y.std())

    def formula(x: NDArray[np.float32]) -> Any:
        return 1 + np.minimum(x[:, 0], 80) / 50 - np.where(x[:, 0] > 90, dip, 0)

    found = failed(made(formula))
    assert (found == []) is passes, found


def test_what_is_no_number_is_found_also_where_a_field_is_absent() -> None:
    assert "finite predictions" in failed(
        made(lambda x: np.where(x[:, 1] < 29, np.nan, 1 + x[:, 0] / 50))
    )


def test_a_server_of_another_kind_must_not_be_scored_absurdly() -> None:
    x, _ = rows()
    seen = {(round(float(a), 3), round(float(b), 3)) for a, b in x}

    def formula(x: NDArray[np.float32]) -> Any:
        known = [(round(float(a), 3), round(float(b), 3)) in seen for a, b in x]
        return 1 + x[:, 0] / 50 + np.where(known, 0.0, 1_000.0)

    assert "unseen servers scored" in failed(made(formula))
