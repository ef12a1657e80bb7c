"""Fixtures that every test may use."""

from __future__ import annotations

import os
import uuid

import pytest


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    return os.environ["RTMLOPS_TEST_KAFKA"]


@pytest.fixture(scope="module")
def database_url() -> str:
    return os.environ["RTMLOPS_TEST_DATABASE_URL"]


@pytest.fixture
def topic_prefix() -> str:
    return f"t{uuid.uuid4().hex[:8]}-"
