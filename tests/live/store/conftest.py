"""Stores on every kind of database that is at hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from rtmlops_lib.store.postgres import PostgresStore
from tests.live.store.events import World


@pytest.fixture(scope="module", params=["plain", "timescale"])
def any_database_url(request: pytest.FixtureRequest) -> str:
    """Return a fresh database: plain PostgreSQL, or with TimescaleDB."""
    # Asked for by name, so that one runs where the other is not to be had.
    plain = request.param == "plain"
    url: str = request.getfixturevalue("database_url" if plain else "timescale_url")
    return url


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
