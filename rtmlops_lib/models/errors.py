"""What may be wrong with a model or with the registry it comes from."""

from __future__ import annotations

from rtmlops_lib.errors import CheckFailed, DependencyUnavailable, UsageError

__all__ = ["ModelRefused", "RegistryUnavailable", "TooFewRows"]


class ModelRefused(CheckFailed):
    """A model's files are not what was registered, or not what we can use (1).

    The message begins with which check refused it: ``files``, ``sha256``, ``trusted
    types``, ``manifest``, ``schema``, ``probe``.
    """


class RegistryUnavailable(DependencyUnavailable):
    """MLflow does not answer, or not in time (3)."""


class TooFewRows(UsageError):
    """There is not enough to train on, which time may mend (2)."""
