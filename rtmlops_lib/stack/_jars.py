"""Kafka's jars: from a committed lock, by jgo's resolver, verified by sha256."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.stack._reporter import Reporter

__all__ = ["Jar", "JarCache", "locked_jars"]

_TIMEOUT_SECONDS = 20
_STAMP = "verified.json"


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    coordinate: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """``artifact-version.jar``."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


@cache
def locked_jars() -> tuple[Jar, ...]:
    """Return the lock's jars in class-path order.

    Examples
    --------
    >>> locked_jars()[0].coordinate
    'org.apache.kafka:kafka_2.13:4.1.1'
    """
    text = (files("rtmlops_lib.stack") / "kafka-jars.lock").read_text("utf-8")
    jars = []
    for line in text.splitlines():
        match = re.fullmatch(r"(\S+) sha256:([0-9a-f]{64}) (\d+)", line)
        if match:
            jars.append(Jar(match[1], match[2], int(match[3])))
    return tuple(jars)


class JarCache:
    """The folder of verified jars, shared by all stacks of a user.

    Parameters
    ----------
    folder : Path
        Where the jars lie; ``for_user`` finds the usual place.
    jars : tuple of Jar, optional
        What must be there; the committed lock by default.
    """

    def __init__(self, folder: Path, jars: tuple[Jar, ...] | None = None) -> None:
        self.folder = folder
        self.jars = locked_jars() if jars is None else jars

    @classmethod
    def for_user(cls, home: Path, environ: Mapping[str, str]) -> JarCache:
        """Return the user's cache, or the stack's own where that is not writable."""
        base = environ.get("XDG_CACHE_HOME") or os.path.join(
            environ.get("HOME") or "/nonexistent", ".cache"
        )
        folder = Path(base) / "rtmlops" / "jars"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return cls(home / "jars")
        return cls(folder if os.access(folder, os.W_OK) else home / "jars")

    @property
    def class_path(self) -> str:
        """The jars as Java's ``-cp`` wants them."""
        return os.pathsep.join(str(self.folder / jar.filename) for jar in self.jars)

    def wrong(self) -> dict[str, str]:
        """Return the jars that are missing or not what the lock says, with why.

        A jar once verified is read again only when its size or time changed.
        """
        try:
            stamps = json.loads((self.folder / _STAMP).read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            stamps = {}
        fresh: dict[str, list[int | str]] = {}
        wrong: dict[str, str] = {}
        for jar in self.jars:
            path = self.folder / jar.filename
            try:
                stat = path.stat()
            except FileNotFoundError:
                wrong[jar.filename] = "missing"
                continue
            stamp: list[int | str] = [jar.sha256, stat.st_size, stat.st_mtime_ns]
            if stamps.get(jar.filename) != stamp and _sha256(path) != jar.sha256:
                wrong[jar.filename] = "its sha256 is not the lock's"
                continue
            fresh[jar.filename] = stamp
        if fresh != stamps and self.folder.is_dir() and os.access(self.folder, os.W_OK):
            scratch = self.folder / f"{_STAMP}.{os.getpid()}"
            scratch.write_text(json.dumps(fresh), encoding="utf-8")
            os.replace(scratch, self.folder / _STAMP)
        return wrong

    def ensure(self, reporter: Reporter | None = None) -> None:
        """Download what is missing or changed; return when all jars are verified.

        Raises
        ------
        DependencyUnavailable
            Without a network, or when a download is not what the lock says.
        """
        reporter = reporter or Reporter()
        wrong = self.wrong()
        if not wrong:
            return
        for name, why in wrong.items():
            if why != "missing":
                reporter.say(f"{name}: {why}; it is downloaded again")
        wanted = [jar for jar in self.jars if jar.filename in wrong]
        self.folder.mkdir(parents=True, exist_ok=True)
        # Downloads end in a scratch folder: an interrupted one leaves no half a jar.
        scratch = Path(tempfile.mkdtemp(prefix=".download-", dir=self.folder))
        try:
            with reporter.downloads(len(wanted), sum(jar.size for jar in wanted)):
                self._download_all(wanted, scratch, reporter)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self.wrong()

    def _download_all(
        self, wanted: list[Jar], scratch: Path, reporter: Reporter
    ) -> None:
        with ThreadPoolExecutor(max_workers=6) as pool:
            tasks = {
                pool.submit(download, jar, scratch, reporter): jar for jar in wanted
            }
            try:
                for task in as_completed(tasks):
                    jar = tasks[task]
                    path = task.result()
                    found = _sha256(path)
                    if found != jar.sha256:
                        raise DependencyUnavailable(
                            f"{jar.coordinate}: expected sha256 {jar.sha256}, the "
                            f"download has {found}",
                            remedy="a proxy may have replaced it; try another network",
                        )
                    os.replace(path, self.folder / jar.filename)
            except BaseException:
                for task in tasks:
                    task.cancel()
                raise


def download(jar: Jar, scratch: Path, reporter: Reporter) -> Path:
    """Fetch one jar by jgo's resolver into ``scratch``; the caller verifies it.

    Raises
    ------
    DependencyUnavailable
        When no repository that jgo knows can be reached or has it.
    """
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(
        resolver=PythonResolver(progress_callback=reporter.download),
        repo_cache=scratch,
        timeout=_TIMEOUT_SECONDS,
    )
    # A mirror from the user's own jgo configuration goes first: behind a firewall
    # it is the only one that answers, and the sha256 makes any mirror safe.
    mirrors = GlobalSettings.load().repositories
    context.remote_repos = {**mirrors, **context.remote_repos}
    last: Exception | None = None
    for _attempt in range(3):
        try:
            artifact = context.create_dependency(jar.coordinate).artifact
            return Path(artifact.resolve())
        except (OSError, RuntimeError) as error:
            last = error
            # Half a file would be taken for the whole one.
            for half in scratch.rglob(jar.filename):
                half.unlink()
            if isinstance(error, OSError) and error.errno is not None:
                break  # a local fault (a full disk), not the network's
    if isinstance(last, OSError) and last.errno == 28:
        raise DependencyUnavailable(
            f"no space left in {scratch.parent} for {jar.filename}",
            remedy="free 100 MB there, or set XDG_CACHE_HOME to another disk",
        ) from last
    raise DependencyUnavailable(
        f"could not download {jar.coordinate} ({_cause(last)})",
        remedy=(
            "the first start needs the network once (55 MB): connect, or set "
            "HTTPS_PROXY, or name a mirror in jgo's configuration; then run "
            "'rtmlops up' again"
        ),
    ) from last


def _cause(error: BaseException | None) -> str:
    while error is not None and error.__context__ is not None:
        error = error.__context__
    return type(error).__name__ if error is None or not str(error) else str(error)[:120]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
