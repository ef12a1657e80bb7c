"""``rtmlops detect`` on files good and bad."""

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
        [sys.executable, "-c", code, "detect", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def file(tmp_path):
    x = np.sin(np.arange(400) / 9)
    x[300] = 9
    frame = pd.DataFrame(
        {"when": pd.date_range("2026-01-01", periods=400, freq="5min"), "load": x}
    )
    path = tmp_path / "in.csv"
    frame.to_csv(path, index=False)
    return path


def test_a_csv_is_scored_row_by_row(file, tmp_path):
    out = tmp_path / "scores.csv"
    done = run("--csv", file, "--time-column", "when", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "400 rows scored" in done.stdout
    scores = pd.read_csv(out)
    assert list(scores.columns[:3]) == ["when", "score", "flagged"]
    assert len(scores) == 400
    assert scores.score.idxmax() == 300
    assert not list(tmp_path.glob(".*partial"))


def test_parquet_and_json_serve_scripts(file, tmp_path):
    out = tmp_path / "scores.parquet"
    done = run("--csv", file, "--value-columns", "load", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    scores = pd.read_parquet(out)
    assert told["rows"] == len(scores) == 400
    assert told["flagged"] == scores.flagged.sum() >= 1


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"", [], "is empty"),
        (b"when,load\n", [], "no rows"),
        (b"\xff\xfe\x00\x80nonsense", [], "cannot read"),
        (b"when,load\n1,2\n", ["--time-column", "at"], "no column 'at'"),
        (b"when,load\n1,a\n2,b\n", ["--value-columns", "load"], "not numeric"),
        (b"when,load\n1,2\n", ["--value-columns", ","], "names no column"),
        (b'when,load\n1,2\n"3,4\n', [], "cannot read"),
    ],
)
def test_wrong_use_is_told_without_a_trace(tmp_path, content, arguments, words):
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    done = run("--csv", path, "--out", tmp_path / "out.csv", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_missing_file_is_told(tmp_path):
    done = run("--csv", tmp_path / "no.csv", "--out", tmp_path / "out.csv")
    assert done.returncode == 2
    assert "is no file" in done.stderr


def test_the_input_is_never_overwritten(file):
    before = file.read_bytes()
    done = run("--csv", file, "--out", file)
    assert done.returncode == 2
    assert file.read_bytes() == before
