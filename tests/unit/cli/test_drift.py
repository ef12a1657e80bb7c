"""``rtmlops drift check`` on files good and bad, as a script sees it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rtmlops_lib.errors import UsageError


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from rtmlops_lib.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "drift", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def rows(n: int, seed: int, level: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "load": random.normal(level, 1, n).round(4),
            "mode": random.choice(["eco", "full"], n),
        }
    )


@pytest.fixture
def files(tmp_path):
    rows(6_000, 1).to_csv(tmp_path / "reference.csv", index=False)
    rows(2_000, 2).to_csv(tmp_path / "same.csv", index=False)
    rows(2_000, 3, 0.5).to_parquet(tmp_path / "moved.parquet")
    rows(300, 4, 9.0).to_csv(tmp_path / "few.csv", index=False)
    return tmp_path


def check(folder, current, *more):
    reference = folder / "reference.csv"
    return run("check", "--reference", reference, "--current", folder / current, *more)


def test_no_drift_is_exit_0(files):
    done = check(files, "same.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stable: 2 of 2 features")
    assert "row order is taken as time order" in done.stdout
    assert "load" in done.stdout


def test_drift_is_exit_1_with_a_table_a_figure_and_json(files):
    picture = files / "drift.png"
    done = check(files, "moved.parquet", "--figure", picture)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("drift: load")
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = json.loads(check(files, "moved.parquet", "--json").stdout)
    assert told["state"] == "drift"
    load, mode = told["features"]
    assert (load["feature"], load["state"]) == ("load", "drift")
    assert mode["state"] == "stable"
    assert load["effect"] > load["threshold"]
    assert told["verdict"]["features"][0]["current_quantiles"]


def test_too_few_rows_are_exit_2_and_say_so(files):
    done = check(files, "few.csv")
    assert done.returncode == 2
    assert done.stdout.startswith("unknown: ")
    assert "independent rows, 500 are needed" in done.stdout


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"", [], "is empty"),
        (b"load,mode\n", [], "has no rows"),
        (b"\xff\xfe\x00\x80nonsense", [], "cannot read"),
        (b"load;mode\n1,5;eco\n2,5;eco\n", [], "separated by semicolons"),
        (b"load,mode\n1,eco\n", ["--time-column", "at"], "no column 'at'"),
        (b"pressure,site\n1,a\n", [], "no column in common"),
        (b"load,load\n1,2\n", ["--figure", "x.docx"], "ends in none of"),
    ],
)
def test_wrong_use_is_exit_2_without_a_trace(files, content, arguments, words):
    (files / "bad.csv").write_bytes(content)
    done = check(files, "bad.csv", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_and_a_strange_one_are_told(files):
    done = check(files, "nowhere.csv")
    assert (done.returncode, "is no file" in done.stderr) == (2, True)
    (files / "rows.xlsx").write_bytes(b"x")
    done = check(files, "rows.xlsx")
    assert (done.returncode, "neither in .csv nor" in done.stderr) == (2, True)


class Reports:
    """Reports as the store gives them back."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows = rows

    def get(self, number: int) -> dict | None:
        return next((row for row in self.rows if row["id"] == number), None)

    def list(self, limit: int, with_reasons: bool) -> pd.DataFrame:
        newest = sorted(self.rows, key=lambda row: -row["id"])[:limit]
        newest = [{**row, "reason": row["report"]["reason"]} for row in newest]
        columns = ["id", "checked_at", "stream", "kind", "model_name"]
        columns += ["model_version", "window_start", "window_end", "state", "report"]
        columns.append("reason")
        return pd.DataFrame(newest, columns=columns)


@pytest.fixture
def store(monkeypatch):
    """Put reports where the commands look for the store."""
    from rtmlops_lib.cli import drift

    class Store:
        drift_reports = Reports([])

        def close(self) -> None:
            pass

    monkeypatch.setattr(drift, "_store", lambda schema: Store())
    return Store.drift_reports


def grown(number: int) -> dict:
    """Return an error's report as a monitor writes it: with more than its verdict."""
    from rtmlops_lib.monitoring import ErrorReference, ErrorWatch

    random = np.random.default_rng(1)
    time = np.arange(12_000) * 60_000_000
    error = np.abs(random.normal(0, 0.02, 12_000))
    error[11_000:] *= 3
    watch = ErrorWatch(
        ErrorReference.of_errors(
            time[:9_600], error[:9_600], window=pd.Timedelta(hours=4).to_pytimedelta()
        )
    )
    for at in range(9_600, 12_000, 240):
        verdict = watch.check(time[at : at + 240], error[at : at + 240])
    report = {**verdict.to_dict(), "bins": [[0, 1, 0.5]], "served": [{"role": "x"}]}
    return {
        **stored(number),
        "kind": "error",
        "state": verdict.state,
        "report": json.loads(json.dumps(report)),
    }


def stored(number: int) -> dict:
    from rtmlops_lib.monitoring import Calibration, DriftJudge, DriftSettings

    settings = DriftSettings(min_effective_rows=0)
    judge = DriftJudge(
        Calibration.of_frame(rows(6_000, 1), window=200, settings=settings)
    )
    for seed in range(3):
        verdict = judge.judge(rows(200, 10 + seed, 1.0))
    report = json.loads(json.dumps(verdict.to_dict()))
    return {
        "id": number,
        "checked_at": pd.Timestamp("2026-01-05T12:00Z"),
        "stream": "datacenter",
        "kind": "input",
        "model_name": "power",
        "model_version": 3,
        "window_start": pd.Timestamp("2026-01-05T11:00Z"),
        "window_end": pd.Timestamp("2026-01-05T12:00Z"),
        "state": verdict.state,
        "report": report,
    }


def test_a_stored_report_is_explained_drawn_and_judged_again(store, tmp_path, capsys):
    from rtmlops_lib.cli import drift

    store.rows.append(stored(7))
    picture = tmp_path / "why.svg"
    drift.explain(7, figure=picture)
    told = capsys.readouterr().out
    assert "report 7: datacenter, input of power v3" in told
    assert "drift: load" in told
    assert "judged again from the stored numbers: drift" in told
    assert picture.read_text().lstrip().startswith("<?xml")
    drift.explain(7, as_json=True)
    assert json.loads(capsys.readouterr().out)["replayed"] == "drift"
    with pytest.raises(UsageError, match="no drift report 8"):
        drift.explain(8)


def test_a_report_of_an_error_is_explained_as_a_monitor_wrote_it(
    store, tmp_path, capsys
):
    from rtmlops_lib.cli import drift

    store.rows.append(grown(3))
    drift.explain(3, figure=tmp_path / "why.svg")
    told = capsys.readouterr().out
    assert "report 3: datacenter, error of power v3" in told
    assert "the error began to grow at" in told
    assert "judged again from the stored numbers: drift" in told
    drift.status(limit=5)
    assert "error of power v3: drift: percentage error" in capsys.readouterr().out


def test_status_lists_the_newest_reports_first(store, capsys):
    from rtmlops_lib.cli import drift

    drift.status(limit=20)
    assert "no drift reports yet" in capsys.readouterr().out
    store.rows += [stored(1), stored(2)]
    drift.status(limit=20)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[0] == "2"
    assert lines[2].split()[0] == "1"
    drift.status(limit=1, as_json=True)
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [2]
