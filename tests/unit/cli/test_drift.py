"""``rtmlops drift check`` on files good and bad, as a script sees it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest


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
