"""Pictures of verdicts: what stands in them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from rtmlops_lib.monitoring import (
    Calibration,
    DriftJudge,
    DriftSettings,
    ErrorReference,
    ErrorWatch,
)
from rtmlops_lib.monitoring.figure import figure


def rows(n, seed, level=0.0):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "load": random.normal(level, 1, n),
            "mode": random.choice(["a", "b"], n),
            "calm": random.normal(size=n),
        }
    )


@pytest.fixture
def judge():
    settings = DriftSettings(min_effective_rows=0)
    return DriftJudge(
        Calibration.of_frame(rows(9_000, 1), window=300, settings=settings)
    )


def texts(drawing):
    # A style sheet says where titles stand; another test may have chosen one.
    titles = {
        axes.get_title(place)
        for axes in drawing.get_axes()
        for place in ("left", "center", "right")
    }
    return titles | {
        text.get_text()
        for axes in drawing.get_axes()
        for text in [*axes.get_yticklabels(), *axes.texts]
    }


def test_each_feature_has_a_bar_and_its_values_a_histogram(judge, tmp_path):
    for seed in (2, 3):
        judge.judge(rows(300, seed, 1.0))
    drawing = figure(judge.judge(rows(300, 4, 1.0)))
    assert {"load", "mode", "calm"} <= texts(drawing)
    bars = drawing.get_axes()[0].patches
    assert bars[0].get_width() > 1 > bars[1].get_width()
    assert drawing.get_suptitle().startswith("drift: row 1 to row 300")
    path = tmp_path / "drift.png"
    drawing.savefig(path)
    assert path.stat().st_size > 10_000


def test_a_window_that_was_not_judged_shows_the_reason(judge):
    drawing = figure(judge.judge(rows(10, 2)))
    assert any("10 rows, about 300" in text for text in texts(drawing))


def test_a_grown_error_is_drawn_over_time(tmp_path):
    random = np.random.default_rng(1)
    time = np.arange(12_000) * 60_000_000
    error = np.abs(random.normal(0, 0.02, 12_000))
    error[11_000:] *= 3
    window = timedelta(hours=4)
    watch = ErrorWatch(
        ErrorReference.of_errors(time[:9_600], error[:9_600], window=window)
    )
    for at in range(9_600, 12_000, 240):
        verdict = watch.check(time[at : at + 240], error[at : at + 240])
    drawing = figure(verdict)
    assert "error over time" in texts(drawing)
    drawing.savefig(tmp_path / "error.svg")


def test_a_stacked_picture_is_narrow_and_shows_the_same(judge):
    for seed in (2, 3):
        judge.judge(rows(300, seed, 1.0))
    verdict = judge.judge(rows(300, 4, 1.0))
    beside, stacked = figure(verdict), figure(verdict, stacked=True)
    assert texts(stacked) == texts(beside)
    width, height = stacked.get_size_inches()
    assert width < 7 < beside.get_size_inches()[0]
    assert height > beside.get_size_inches()[1]
