"""``rtmlops evaluate`` as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys

SMALL = ("--days", "0.5", "--history", "0.5", "--servers", "3", "--anomaly-prob", "0.1")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from rtmlops_lib.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "evaluate", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_both_ways_are_judged_on_the_same_anomalies():
    done = run(*SMALL, "--json")
    assert done.returncode == 0, done.stderr
    alone, joined = json.loads(done.stdout)
    assert (alone["witnesses"], joined["witnesses"]) == ("statistical", "all")
    assert alone["server_days"] == 1.5
    counted = [
        {kind: row["events"] for kind, row in one["by_type"].items()}
        for one in (alone, joined)
    ]
    assert counted[0] == counted[1]
    assert sum(counted[0].values()) > 0


def test_a_table_names_the_types_and_who_took_part():
    done = run(*SMALL, "--witnesses", "statistical", "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert "statistical: profile production, seed 5" in done.stdout
    assert "false alarms a server and day" in done.stdout


def test_nobody_else_can_be_asked():
    done = run("--witnesses", "oracle")
    assert done.returncode == 2
    assert "knows no 'oracle'" in done.stderr
