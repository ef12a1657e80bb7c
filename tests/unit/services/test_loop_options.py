"""Whose word counts: what is given, else the settings."""

from __future__ import annotations

from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.storage import storage_loop
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import builtin_specs

SPECS = list(builtin_specs().values())
SETTINGS = Settings(batch_max_rows=7, batch_max_seconds=3.0, write_deadline_seconds=2.0)


def test_without_options_the_loop_does_as_the_settings_say() -> None:
    options = storage_loop(SETTINGS, SPECS).options
    assert options == LoopOptions(7, 3.0, 2.0)


def test_options_that_are_given_win_over_the_settings() -> None:
    given = LoopOptions(batch_max_rows=50, start="latest")
    assert storage_loop(SETTINGS, SPECS, options=given).options == given


def test_the_settings_fill_what_is_not_given() -> None:
    options = LoopOptions.from_settings(SETTINGS, batch_max_rows=50, until_idle=1.0)
    assert options == LoopOptions(50, 3.0, 2.0, until_idle=1.0)
