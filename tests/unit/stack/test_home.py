from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

import rtmlops_lib
from rtmlops_lib.errors import UsageError
from rtmlops_lib.stack._home import StackHome


def test_wiping_removes_what_the_stack_wrote_and_the_empty_folder(tmp_path):
    home = StackHome(tmp_path / ".rtmlops")
    home.create()
    (home.kafka / "data").mkdir()
    home.env_file.write_text("A=1\n")
    home.wipe()
    assert not home.path.exists()


def test_what_any_part_of_the_library_keeps_in_a_home_is_wiped_with_it(tmp_path):
    sources = Path(rtmlops_lib.__file__).parent.rglob("*.py")
    code = "\n".join(source.read_text("utf-8") for source in sources)
    kept = set(re.findall(r"\bhome / \"([\w.]+)\"", code))
    assert kept >= {"models", "references", "chapters"}
    home = StackHome(tmp_path / ".rtmlops")
    # A service with servers from elsewhere was here before the first stack.
    for name in kept:
        (home.path / name / "inside").mkdir(parents=True)
    home.create()
    home.wipe()
    assert not home.path.exists()


def test_wiping_keeps_files_of_somebody_else(tmp_path):
    home = StackHome(tmp_path / ".rtmlops")
    home.create()
    (home.path / "thesis.txt").write_text("years of work")
    home.wipe()
    assert [entry.name for entry in home.path.iterdir()] == ["thesis.txt"]


def test_wiping_does_not_follow_a_link_out_of_the_home(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_text("years of work")
    home = StackHome(tmp_path / ".rtmlops")
    home.create()
    home.logs.rmdir()
    home.logs.symlink_to(elsewhere)
    home.wipe()
    assert (elsewhere / "thesis.txt").exists()


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_wiping_refuses_a_folder_that_is_no_stacks_home(tmp_path, content):
    folder = tmp_path / "photos"
    (folder / "logs").mkdir(parents=True)
    if content is not None:
        (folder / "stack.json").write_text(content)
    with pytest.raises(UsageError, match="no stack's home"):
        StackHome(folder).wipe()
    assert (folder / "logs").is_dir()


def test_a_folder_that_holds_something_else_is_not_taken_over(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"photo\.jpg"):
        StackHome(tmp_path).create()
    assert not (tmp_path / "kafka").exists()


def test_a_home_deep_down_gets_its_socket_in_a_short_folder(tmp_path):
    deep = StackHome(tmp_path / ("d" * 120) / ".rtmlops")
    assert len(os.fsencode(deep.socket)) < 90
    other = StackHome(tmp_path / ("e" * 120) / ".rtmlops")
    assert deep.socket != other.socket


def test_a_folder_that_supervisord_cannot_read_from_its_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="blank before"):
        StackHome(tmp_path / "a #1").create()


def test_a_reader_never_sees_half_a_file(tmp_path):
    home = StackHome(tmp_path / ".rtmlops")
    home.create()
    texts = {letter * 20_000 for letter in "ab"}
    seen: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            if home.env_file.exists():
                seen.add(home.env_file.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for text in texts:
            home.write_atomically(home.env_file, text)
    stop.set()
    reader.join()
    assert seen and seen <= texts


def test_the_published_file_is_for_its_owner_alone(tmp_path):
    home = StackHome(tmp_path / ".rtmlops")
    home.create()
    home.write_atomically(home.env_file, "RTMLOPS_DATABASE_URL=x", mode=0o600)
    assert home.env_file.stat().st_mode & 0o777 == 0o600


def test_the_path_is_made_absolute_without_following_links():
    assert StackHome(Path(".rtmlops")).path == Path.cwd() / ".rtmlops"
