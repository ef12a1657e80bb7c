"""Kafka behind two ports; adapters for two clients and a fake that misbehaves."""

from rtmlops_lib.transport.admin import TopicAdmin, TopicDescription
from rtmlops_lib.transport.dead_letters import DeadLetter, DeadLetterSink
from rtmlops_lib.transport.dlq_reader import read_dead_letters
from rtmlops_lib.transport.errors import (
    DeliveryFailed,
    MemberFenced,
    TransportUnavailable,
)
from rtmlops_lib.transport.factory import open_admin, open_consumer, open_producer
from rtmlops_lib.transport.ports import EventConsumer, EventProducer, Polled

__all__ = [
    "DeadLetter",
    "DeadLetterSink",
    "DeliveryFailed",
    "EventConsumer",
    "EventProducer",
    "MemberFenced",
    "Polled",
    "TopicAdmin",
    "TopicDescription",
    "TransportUnavailable",
    "open_admin",
    "open_consumer",
    "open_producer",
    "read_dead_letters",
]
