"""The contract of the ports over the broker in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.transport_contract import TransportContract, World
from tests.support.transport_worlds import MemoryWorld


class TestMemory(TransportContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = MemoryWorld()
        yield world
        world.close()
