"""Checks, waiting, progress, figures, history: what needs no server."""

from __future__ import annotations

import io
import time
import warnings

import numpy as np
import pytest

from rtmlops_lib.errors import CheckFailed, UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.teaching import (
    COLORS,
    History,
    Lab,
    LessonStopped,
    check,
    glue,
    live_progress,
    prepare,
    use_style,
    wait_until,
)


def test_a_check_that_holds_prints_what_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check([1], ok="there is one", hint="x", see="y")
    assert capsys.readouterr().out == "✓ there is one\n"


def test_a_check_that_fails_names_cause_and_section() -> None:
    with pytest.raises(LessonStopped) as caught:
        check(0, ok="rows are there", hint="nothing was sent", see="rows-missing")
    message = str(caught.value)
    assert "not so: rows are there" in message
    assert "likely cause: nothing was sent" in message
    assert "“rows-missing” in book/troubleshooting.md" in message
    assert isinstance(caught.value, CheckFailed)
    assert caught.value._render_traceback_() == [message]


def test_waiting_returns_the_answer_as_soon_as_it_is_true() -> None:
    answers = iter([None, 0, "here"])
    assert wait_until(lambda: next(answers), timeout=5, every=0.001) == "here"


def test_waiting_ends_at_its_deadline_and_shows_the_last_answer() -> None:
    started = time.monotonic()
    with pytest.raises(LessonStopped, match=r"waited 0.05 s for rows.*was 0"):
        wait_until(lambda: 0, timeout=0.05, what="rows", every=0.01)
    assert time.monotonic() - started < 2


def test_what_is_asked_at_the_deadline_still_counts() -> None:
    assert wait_until(lambda: True, timeout=0) is True


def test_glue_prints_what_it_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    glue("rate", "4,512 events/s", "stored")
    assert capsys.readouterr().out == "stored: 4,512 events/s\n"


def test_glue_refuses_a_value_that_is_not_formatted() -> None:
    with pytest.raises(TypeError, match="format it first"):
        glue("rate", 4512.25, "stored")  # type: ignore[arg-type]


def test_progress_leaves_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with live_progress("events", total=1_200) as progress:
        for _ in range(12):
            progress.add(100)
    out = capsys.readouterr().out
    assert out.startswith("1,200 events in ")
    assert out.count("\n") == 1


def test_progress_tells_how_far_it_came_when_the_loop_breaks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError), live_progress("rows") as progress:
        progress.update(7)
        raise ValueError
    assert capsys.readouterr().out.startswith("7 rows in ")


def test_the_same_figure_gives_the_same_bytes() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("svg")
    with warnings.catch_warnings(), plt.rc_context():
        warnings.simplefilter("error")
        use_style()

        def drawn() -> bytes:
            fig, ax = plt.subplots()
            ax.plot(np.arange(5), label="x")
            ax.legend()
            buffer = io.BytesIO()
            fig.savefig(buffer, format="svg", metadata={"Date": None})
            plt.close(fig)
            return buffer.getvalue()

        assert drawn() == drawn()
        assert plt.rcParams["axes.facecolor"] in (COLORS["paper"], "fbfcfe")
        assert plt.rcParams["figure.facecolor"] != "none"


def test_colours_of_the_sheet_are_those_of_the_palette() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    with plt.rc_context():
        use_style()
        cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert {f"#{c.lstrip('#')}" for c in cycle} <= set(COLORS.values())


def test_a_history_is_the_same_whenever_it_is_drawn() -> None:
    history = History(hours=0.1, servers=3)

    def readings() -> list[float]:
        chunks = history.simulator().chunks(history.start, history.end)
        return np.concatenate(
            [chunk.datacenter.columns["power_kw"] for chunk in chunks]
        ).tolist()

    first = readings()
    assert first == readings()
    assert len(first) == history.events == 36 * 3


@pytest.mark.parametrize("hours", [0, -1, 5_000, float("nan")])
def test_an_impossible_history_is_refused(hours: float) -> None:
    with pytest.raises(UsageError, match="history"):
        History(hours=hours)


def test_a_lab_names_only_what_is_its_own() -> None:
    lab = Lab(3, Settings(topic_prefix="live-", database_schema="public"))
    assert lab.settings.topic_prefix == "ch03-"
    assert lab.settings.database_schema == "ch03"
    assert lab.topic("datacenter-metrics") == "ch03-datacenter-metrics"
    assert lab.topic("ch03-x") == "ch03-x"
    assert lab.group("storage") == "ch03-storage"
    assert {spec.topic[:5] for spec in lab.specs.values()} == {"ch03-"}


def test_a_child_process_sees_the_lab_and_nobody_elses_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody/prod")
    monkeypatch.setenv("RTMLOPS_TOPIC_PREFIX", "live-")
    lab = Lab(3, Settings(database_url="postgresql://rtmlops@127.0.0.1/x"))
    environ = lab._environment()
    assert "DATABASE_URL" not in environ
    assert environ["RTMLOPS_DATABASE_URL"].endswith("@127.0.0.1/x")
    assert environ["RTMLOPS_TOPIC_PREFIX"] == "ch03-"
    assert environ["RTMLOPS_DATABASE_SCHEMA"] == "ch03"
    assert environ["RTMLOPS_ENV_FILE"] == ""
    # What 'rtmlops up' wrote down leads to the API of the stack itself.
    assert environ["RTMLOPS_API_URL"] == ""


@pytest.mark.parametrize(
    ("needs", "names"),
    [(("mlflow",), "MLflow at http"), (("kafka", "database"), "the database at 127")],
)
def test_a_stack_that_is_not_running_is_told_with_the_remedy(
    needs: tuple[str, ...], names: str, tmp_path: object
) -> None:
    settings = Settings(
        database_url="postgresql://rtmlops@127.0.0.1:9/rtmlops",
        mlflow_tracking_uri="http://127.0.0.1:9",
        home=tmp_path,
    )
    with pytest.raises(LessonStopped, match="run 'rtmlops up'") as caught:
        prepare(3, needs=needs, settings=settings)  # type: ignore[arg-type]
    assert names in str(caught.value)
