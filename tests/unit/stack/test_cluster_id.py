"""The id under which a broker's folder is formatted."""

from __future__ import annotations

import uuid

import pytest

from rtmlops_lib.stack import _kafka


def test_it_never_reads_as_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    # The first would begin with "-": six bits of 62.
    drawn = iter([uuid.UUID(int=62 << 122), uuid.UUID(int=5 << 122)])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(drawn))
    assert _kafka._new_cluster_id() == "F" + "A" * 21
