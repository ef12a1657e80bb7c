from __future__ import annotations

import hashlib
import os

import pytest

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.stack import _jars
from rtmlops_lib.stack._jars import Jar, JarCache, locked_jars

CONTENT = b"PK\x03\x04 a jar"


@pytest.fixture
def jar() -> Jar:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Jar("org.example:demo:1.0", digest, len(CONTENT))


@pytest.fixture
def cache(tmp_path, jar) -> JarCache:
    return JarCache(tmp_path / "jars", (jar,))


def delivering(content: bytes):
    def download(jar, scratch, reporter):
        path = scratch / jar.filename
        path.write_bytes(content)
        return path

    return download


def test_the_lock_names_kafka_and_a_hash_for_each_jar():
    jars = locked_jars()
    assert jars[0].coordinate == "org.apache.kafka:kafka_2.13:4.1.1"
    assert len(jars) == len({jar.filename for jar in jars}) > 40
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)


def test_a_missing_jar_is_downloaded_and_then_never_again(cache, monkeypatch):
    monkeypatch.setattr(_jars, "download", delivering(CONTENT))
    cache.ensure()
    monkeypatch.setattr(_jars, "download", delivering(b"must not be called"))
    cache.ensure()
    assert cache.wrong() == {}


def test_a_download_that_is_not_the_locks_is_refused_and_not_kept(cache, monkeypatch):
    monkeypatch.setattr(_jars, "download", delivering(b"something else"))
    with pytest.raises(DependencyUnavailable, match="expected sha256"):
        cache.ensure()
    assert list(cache.folder.glob("**/*.jar")) == []


def test_a_jar_that_was_tampered_with_is_noticed_and_replaced(cache, jar, monkeypatch):
    monkeypatch.setattr(_jars, "download", delivering(CONTENT))
    cache.ensure()
    path = cache.folder / jar.filename
    path.write_bytes(CONTENT[::-1])
    assert "sha256" in cache.wrong()[jar.filename]
    cache.ensure()
    assert path.read_bytes() == CONTENT


def test_verified_jars_are_not_read_again(cache, jar, monkeypatch):
    monkeypatch.setattr(_jars, "download", delivering(CONTENT))
    cache.ensure()

    def forbidden(path):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(_jars, "_sha256", forbidden)
    assert cache.wrong() == {}
    os.utime(cache.folder / jar.filename, (1, 1))
    with pytest.raises(AssertionError, match="was read"):
        cache.wrong()


def test_without_a_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    # A proxy that refuses: what jgo meets on a machine without a network.
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    cache = JarCache(tmp_path / "jars", locked_jars()[:1])
    with pytest.raises(DependencyUnavailable) as caught:
        cache.ensure()
    assert caught.value.exit_code == 3
    assert "could not download org.apache.kafka:kafka_2.13:4.1.1" in str(caught.value)
    assert "needs the network once" in str(caught.value)
    assert list(cache.folder.iterdir()) == []


def test_an_unwritable_cache_is_replaced_by_the_homes_own(tmp_path):
    cache = JarCache.for_user(tmp_path, {"HOME": "/dev/null"})
    assert cache.folder == tmp_path / "jars"
    cache = JarCache.for_user(tmp_path, {"XDG_CACHE_HOME": str(tmp_path / "c")})
    assert cache.folder == tmp_path / "c" / "rtmlops" / "jars"
