"""Stores on every kind of database that is at hand."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from rtmlops_lib.store.postgres import PostgresStore
from tests.live.store.events import World

TIMESCALE = "RTMLOPS_TEST_TIMESCALE_URL"


def run(url: str, *statements: str) -> list[tuple]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module", params=["plain", "timescale"])
def any_database_url(
    request: pytest.FixtureRequest, database_url: str
) -> Iterator[str]:
    """Return a fresh database: plain PostgreSQL, or with TimescaleDB."""
    if request.param == "plain":
        yield database_url
        return
    server = os.environ.get(TIMESCALE)
    if not server:
        pytest.skip(f"not tried on TimescaleDB: {TIMESCALE} names no server")
    name = f"t{uuid.uuid4().hex[:12]}"
    run(server, f"CREATE DATABASE {name}")
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    run(url, "CREATE EXTENSION IF NOT EXISTS timescaledb")
    yield url
    run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def make_world() -> Iterator[Callable[[str], World]]:
    """Return a maker of migrated stores, each in a schema of its own."""
    worlds: list[World] = []

    def make(url: str) -> World:
        schema = f"t{uuid.uuid4().hex[:10]}"
        world = World(url, schema, PostgresStore(url, schema=schema))
        world.store.migrate([world.spec])
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(any_database_url: str, make_world: Callable[[str], World]) -> World:
    return make_world(any_database_url)


@pytest.fixture
def plain_world(database_url: str, make_world: Callable[[str], World]) -> World:
    return make_world(database_url)
