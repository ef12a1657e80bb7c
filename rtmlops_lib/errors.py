"""The errors a user can meet: each says what was expected, found, and what to try.

The command line turns every one of them into a message without a stack trace and
exits with its ``exit_code``.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CheckFailed",
    "ConfigurationFault",
    "DependencyUnavailable",
    "RtmlopsError",
    "SpecError",
    "UsageError",
]


class RtmlopsError(Exception):
    """Base of the family.

    Parameters
    ----------
    message : str
        What was expected and what was found.
    remedy : str, optional
        What to try, in one sentence.

    Examples
    --------
    >>> error = UsageError("--servers must be at least 1, got 0", remedy="try 20")
    >>> str(error)
    '--servers must be at least 1, got 0; try 20'
    >>> error.exit_code
    2
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class CheckFailed(RtmlopsError):
    """A check ran, and its answer is no (exit code 1)."""

    exit_code = 1


class UsageError(RtmlopsError):
    """The caller asked for something impossible, or too little is known (2)."""

    exit_code = 2


class SpecError(UsageError):
    """A stream's specification contradicts itself or its table (2)."""


class DependencyUnavailable(RtmlopsError):
    """Kafka, the database or MLflow does not answer, or time ran out (3)."""

    exit_code = 3


class ConfigurationFault(DependencyUnavailable):
    """Something reachable is set up wrongly and needs a human (3).

    Services stay alive, not ready, and try again every 15 seconds.
    """
