"""Which client a setting means."""

from __future__ import annotations

from collections.abc import Sequence

from rtmlops_lib.settings import Settings
from rtmlops_lib.transport.admin import TopicAdmin
from rtmlops_lib.transport.ports import EventConsumer, EventProducer

__all__ = ["open_admin", "open_consumer", "open_producer"]


def open_consumer(
    settings: Settings,
    *,
    group: str,
    topics: Sequence[str],
    client: str | None = None,
    group_instance_id: str | None = None,
) -> EventConsumer:
    """Return a connected member of ``group``.

    Parameters
    ----------
    settings : Settings
        Where Kafka is; ``kafka_client`` names the client unless ``client`` does.
    group : str
        The consumer group.
    topics : sequence of str
        What to read.
    client : {"kafka-python", "confluent"}, optional
        Overrides the setting.
    group_instance_id : str, optional
        Static identity.

    Raises
    ------
    TransportUnavailable, ConfigurationFault
        When no broker answers, or one refuses us.
    UsageError
        For an unknown client or setting of it.
    """
    if _is_confluent(settings, client):
        from rtmlops_lib.transport.confluent import ConfluentConsumer

        return ConfluentConsumer(
            settings, group=group, topics=topics, group_instance_id=group_instance_id
        ).open()
    from rtmlops_lib.transport.kafka_python import KafkaPythonConsumer

    return KafkaPythonConsumer(
        settings, group=group, topics=topics, group_instance_id=group_instance_id
    ).open()


def open_producer(settings: Settings, client: str | None = None) -> EventProducer:
    """Return a connected producer; ``client`` as in ``open_consumer``."""
    if _is_confluent(settings, client):
        from rtmlops_lib.transport.confluent_producer import ConfluentProducer

        return ConfluentProducer(settings).open()
    from rtmlops_lib.transport.kafka_python_producer import KafkaPythonProducer

    return KafkaPythonProducer(settings).open()


def open_admin(settings: Settings) -> TopicAdmin:
    """Return a connected administrator of topics."""
    return TopicAdmin(settings).open()


def _is_confluent(settings: Settings, client: str | None) -> bool:
    from rtmlops_lib.errors import UsageError

    chosen = client or settings.kafka_client
    if chosen not in ("kafka-python", "confluent"):
        raise UsageError(
            f"no client is called {chosen!r}",
            remedy="give --client kafka-python or --client confluent",
        )
    return chosen == "confluent"
