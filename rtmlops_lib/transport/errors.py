"""What can go wrong between us and Kafka, whatever the client library."""

from __future__ import annotations

from rtmlops_lib.errors import DependencyUnavailable, RtmlopsError

__all__ = ["DeliveryFailed", "MemberFenced", "TransportUnavailable"]


class TransportUnavailable(DependencyUnavailable):
    """No broker answered in time; calling again later is right."""


class DeliveryFailed(TransportUnavailable):
    """A record was not acknowledged."""


class MemberFenced(RtmlopsError):
    """Another member uses this one's static identity; the process must end (3)."""

    exit_code = 3
