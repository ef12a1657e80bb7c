"""The commands against running servers, as users and scripts call them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import confluent_kafka
import pandas as pd
import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.transport.factory import open_producer
from tests.support.foreign import event
from tests.support.service import command, environment

pytestmark = pytest.mark.live


class Commands:
    """``rtmlops`` as a process, with a prefix and a group of its own."""

    def __init__(self, settings: Settings, prefix: str, folder: Path) -> None:
        self.env = environment(settings, RTMLOPS_TOPIC_PREFIX=prefix)
        self.settings, self.prefix, self.folder = settings, prefix, folder

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            env={**self.env, **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", "one-shot commands are silent on stderr"
        return done.stdout

    def json(self, *arguments: str):
        return json.loads(self(*arguments, "--json"))

    def refused(self, code: int, *arguments: str, **env: str) -> str:
        began = time.monotonic()
        done = self.run(*arguments, **env)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.startswith("error: ") and "\n  try: " in done.stderr
        assert len(done.stderr.strip().splitlines()) == 2, "cause, remedy, no more"
        assert time.monotonic() - began < 20
        return done.stderr

    def send(self, *values: bytes | None) -> None:
        producer = open_producer(self.settings)
        topic = self.prefix + "datacenter-metrics"
        for value in values:
            producer.send(topic, value, key=b"srv-01", partition=0)
        producer.flush()
        producer.close()

    def store(self) -> None:
        done = self.run(
            *"consume storage --stream datacenter --until-idle 1".split(),
            "--group",
            self.prefix + "storage",
        )
        assert done.returncode == 0, done.stderr

    def exported(self, name: str = "out.csv") -> int:
        answer = self.run(
            *"export --stream datacenter --since 2026-01-01T00:00:00Z --json".split(),
            "--out",
            name,
        )
        assert answer.returncode == 0, answer.stderr
        return int(json.loads(answer.stdout)["rows"])


@pytest.fixture
def rtmlops(settings: Settings, topic_prefix: str, tmp_path: Path) -> Commands:
    # Each test has tables of its own.
    own = settings.model_copy(update={"database_schema": topic_prefix[:-1]})
    made = Commands(own, topic_prefix, tmp_path)
    made("db", "migrate")
    made("topics", "create")
    return made


def test_a_dead_letter_is_listed_repaired_replayed_and_stored(
    rtmlops: Commands,
) -> None:
    broken = {**event(1, 1), "cpu_usage": "75.2"}
    rtmlops.send(json.dumps(event(1, 0)).encode(), json.dumps(broken).encode())
    assert rtmlops.json("dlq", "list") == []
    rtmlops.store()
    assert rtmlops.exported() == 1
    (letter,) = rtmlops.json("dlq", "list")
    assert letter["reason"] == "wrong_type" and json.loads(letter["value"]) == broken
    key = letter["letter_key"]
    assert key in rtmlops("dlq", "list") and key in rtmlops("dlq", "show", key)
    assert rtmlops.json("dlq", "list", "--reason", "tombstone") == []

    # As it was, it comes back each time: a letter of its own, counted on.
    for count in range(1, 4):
        (newest,) = rtmlops.json("dlq", "list")
        sent = rtmlops.json("dlq", "replay", "--key", newest["letter_key"])
        assert sent == {"sent": [newest["letter_key"]], "refused": {}}
        rtmlops.store()
        (newest,) = rtmlops.json("dlq", "list")
        assert newest["replay_count"] == count
    fourth = rtmlops.json("dlq", "replay", "--key", newest["letter_key"])
    assert fourth["sent"] == []
    assert fourth["refused"] == {newest["letter_key"]: "replayed 3 times already"}

    # The first letter was replayed once only: repaired, it becomes a row.
    repaired = {**letter, "value": {**broken, "cpu_usage": 75.2}}
    (rtmlops.folder / "repaired.json").write_text(json.dumps([repaired]))
    replay = ("dlq", "replay", "--from-file", "repaired.json", "--all")
    dry = json.loads(rtmlops(*replay, "--dry-run"))
    assert dry == {"would_send": [key]}
    assert rtmlops.json(*replay)["sent"] == [key]
    rtmlops.store()
    assert rtmlops.exported() == 2


def test_letters_that_nobody_edited_are_not_sent_again(rtmlops: Commands) -> None:
    broken = {**event(1, 1), "cpu_usage": "75.2"}
    rtmlops.send(json.dumps(broken).encode(), b"\xff\xfe \xc2\xb0", None)
    rtmlops.store()
    letters = rtmlops.json("dlq", "list")
    assert len(letters) == 3
    for letter in letters:
        if letter["reason"] == "wrong_type":
            letter["value"] = letter["value"].replace('"75.2"', "75.2")
            edited = letter["letter_key"]
    (rtmlops.folder / "letters.json").write_text(json.dumps(letters))
    replay = ("dlq", "replay", "--from-file", "letters.json")
    assert "2 in letters.json are as they were" in rtmlops(*replay)
    assert rtmlops.json("dlq", "list", "--all", "--reason", "wrong_type")
    left = {letter["letter_key"] for letter in rtmlops.json("dlq", "list")}
    assert left == {x["letter_key"] for x in letters} - {edited}
    rtmlops.store()
    assert rtmlops.exported() == 1


def test_reading_again_from_the_beginning_doubles_nothing(rtmlops: Commands) -> None:
    rtmlops.send(*(json.dumps(event(1, step)).encode() for step in range(500)))
    rtmlops.store()
    group = ("--group", rtmlops.prefix + "storage")
    before = rtmlops.json("offsets", "show", *group)
    assert sum(row["next_offset"] for row in before) == 500
    reset = ("offsets", "reset", "--stream", "datacenter", "--to", "earliest")
    assert {r["next_offset"] for r in rtmlops.json(*reset, *group)} == {0}
    rtmlops.store()
    after = rtmlops.json("offsets", "show", *group)
    assert sum(row["next_offset"] for row in after) == 500
    assert rtmlops.exported("out.csv") == rtmlops.exported("out.parquet") == 500
    assert len(pd.read_csv(rtmlops.folder / "out.csv")) == 500
    assert len(pd.read_parquet(rtmlops.folder / "out.parquet")) == 500


def test_tail_shows_as_many_as_asked_past_what_was_aborted(
    rtmlops: Commands, kafka_bootstrap: str
) -> None:
    topic = rtmlops.prefix + "datacenter-metrics"
    rtmlops.send(*(json.dumps(event(1, step)).encode() for step in range(20)))
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": kafka_bootstrap, "transactional.id": topic}
    )
    producer.init_transactions(15)
    producer.begin_transaction()
    for _ in range(50):
        producer.produce(topic, value=b"aborted", partition=0)
    producer.flush(15)
    producer.abort_transaction(15)
    for count in (1, 7, 20, 500):
        lines = rtmlops("stream", "tail", "datacenter", "-n", str(count)).splitlines()
        steps = [json.loads(line.split("\t")[3]) for line in lines]
        assert steps == [event(1, step) for step in range(max(0, 20 - count), 20)]


def test_a_topic_without_records_has_no_newest_ones(rtmlops: Commands) -> None:
    rtmlops("topics", "create", "--stream", "datacenter")
    assert rtmlops("stream", "tail", "datacenter") == ""


def test_tail_validate_init_and_topics_see_what_was_sent(rtmlops: Commands) -> None:
    topic = rtmlops.prefix + "datacenter-metrics"
    rtmlops.send(*(json.dumps(event(1, step)).encode() for step in range(20)))
    lines = rtmlops("stream", "tail", "datacenter", "-n", "3").splitlines()
    last = json.loads(lines[-1].split("\t")[3])
    assert last == event(1, 19)
    assert rtmlops.json("stream", "validate", "datacenter")["valid"] == 20
    rtmlops.send(b"[]")
    done = rtmlops.run("stream", "validate", "datacenter", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["rejected"] == {"not_object": 1}
    assert "server_id" in rtmlops("stream", "init", "--topic", topic)
    rows = {row["topic"]: row for row in rtmlops.json("topics", "list")}
    assert rows[topic]["records"] == 21 and rows[topic]["partitions"] == 3
    assert topic in rtmlops("topics", "list")


def test_an_interrupted_tail_is_130_and_says_nothing(rtmlops: Commands) -> None:
    rtmlops.send(json.dumps(event(1, 0)).encode())
    process = subprocess.Popen(
        command("stream", "tail", "datacenter", "--follow"),
        env={**rtmlops.env, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as CI may be, hands down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("0\t0\t")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err


def test_a_tail_ends_quietly_when_its_reader_has_seen_enough(
    rtmlops: Commands,
) -> None:
    values = (json.dumps(event(1, step)).encode() for step in range(3_000))
    rtmlops.send(*values)
    tail = " ".join(command("stream", "tail", "datacenter", "-n", "9000"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {tail} | head -n 1"],
        env=rtmlops.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    ["topics list", "stream tail datacenter", "dlq list", "generate --duration 1"],
)
def test_an_absent_kafka_is_3_within_seconds(
    arguments: str, settings: Settings, topic_prefix: str, tmp_path: Path
) -> None:
    rtmlops = Commands(settings, topic_prefix, tmp_path)
    said = rtmlops.refused(
        3, *arguments.split(), RTMLOPS_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"
    )
    assert "127.0.0.1:1" in said and "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS" in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me@127.0.0.1:1/x", "does not answer"),
        ("{server}/no_such_database", "create the database"),
        ("nonsense", "write RTMLOPS_DATABASE_URL as postgresql://"),
    ],
)
def test_an_absent_or_wrong_database_is_3_with_its_remedy(
    url: str, said: str, settings: Settings, topic_prefix: str, tmp_path: Path
) -> None:
    rtmlops = Commands(settings, topic_prefix, tmp_path)
    server = settings.database_url.get_secret_value().rsplit("/", 1)[0]
    url = url.format(server=server)
    assert said in rtmlops.refused(3, "db", "stats", RTMLOPS_DATABASE_URL=url)


def test_missing_tables_and_topics_name_the_command_that_makes_them(
    settings: Settings, topic_prefix: str, tmp_path: Path
) -> None:
    rtmlops = Commands(settings, topic_prefix, tmp_path)
    rtmlops.env["RTMLOPS_DATABASE_SCHEMA"] = topic_prefix[:-1]
    assert "rtmlops db migrate" in rtmlops.refused(3, "offsets", "show")
    assert "rtmlops topics list" in rtmlops.refused(2, "stream", "tail", "datacenter")
    assert "rtmlops topics list" in rtmlops.refused(2, "dlq", "list")
