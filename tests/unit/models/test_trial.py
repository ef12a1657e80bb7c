"""The targets of detection, on a small fleet with seeds that nothing was tuned on."""

from __future__ import annotations

import numpy as np
import pytest

from rtmlops_lib.models.trial import run_trial
from rtmlops_lib.simulator import SimulatorSettings
from rtmlops_lib.simulator.anomaly import ANOMALIES, Shape

# A share of the production fleet's, but more often in trouble: as many events.
SMALL = {"servers": 10, "anomaly_prob": 0.02}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("models", [False, True], ids=["statistical", "all"])
def test_each_type_is_found_in_time_and_calm_stays_calm(models):
    settings = SimulatorSettings.of_profile("production", seed=901, **SMALL)
    trial = run_trial(settings, days=3, history_days=1, models=models)
    found = trial.evaluation
    assert found.by_type.keys() == ANOMALIES.keys()
    for kind, result in found.by_type.items():
        assert result.recall >= 0.9, f"{kind}: {result.found} of {result.events}"
        if ANOMALIES[kind].shape is Shape.ABRUPT:
            assert result.median_delay <= 3, kind
    # 30 server-days are few: 0.2 are 6 alarms.
    assert found.false_alarms_per_server_day <= 0.2
    heard = trial.streams["datacenter"].witnesses
    assert len(heard) == (3 if models else 1)


def test_the_time_before_counts_for_nothing():
    settings = SimulatorSettings(
        servers=4, interval_seconds=60, seed=3, anomaly_prob=0.1
    )
    trial = run_trial(settings, days=1, history_days=1, models=False)
    begin = int(trial.streams["datacenter"].time.min())
    assert trial.evaluation.server_days == 4
    counted = sum(r.events for r in trial.evaluation.by_type.values())
    assert counted == sum(label.started_at >= begin for label in trial.labels)
    rows = trial.streams["datacenter"]
    assert len(rows.time) == 4 * 1_440
    assert len(trial.streams["services"].names) > 4
    assert np.isfinite(rows.score).all()
