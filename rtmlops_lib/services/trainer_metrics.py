"""The names of the trainer's metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["TrainerMetrics"]


class TrainerMetrics:
    """What a trainer did and does, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.jobs = Counter(
            "rtmlops_train_jobs_total",
            "Trainings that ended here, by how.",
            ["model", "trigger", "state"],
            registry=self.registry,
        )
        self.running = Gauge(
            "rtmlops_train_jobs_running",
            "Trainings in hand, those that wait for rows included.",
            registry=self.registry,
        )
        self.seconds = Gauge(
            "rtmlops_train_last_seconds",
            "How long the last training took, from its beginning here to its end.",
            ["model"],
            registry=self.registry,
        )
        self.next_schedule = Gauge(
            "rtmlops_train_next_schedule_timestamp_seconds",
            "When the schedule asks for trainings again.",
            registry=self.registry,
        )
        self.ready = Gauge(
            "rtmlops_ready",
            "1 while the service is ready.",
            ["service"],
            registry=self.registry,
        )
