"""The names of all metrics, in one place.

Counters and gauges carry ``service`` and what else their help says; a partition's
gauges are removed when it leaves, its counters stay: they tell what happened here.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["ApiMetrics", "ServiceMetrics"]

_BATCH_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ServiceMetrics:
    """The metrics of one consuming service, on a registry of their own.

    Parameters
    ----------
    service : str
        Value of the label ``service``.
    registry : CollectorRegistry, optional
        Where they are registered; a new one by default.

    Examples
    --------
    >>> metrics = ServiceMetrics("storage")
    >>> metrics.rows.labels("storage", "datacenter").inc(3)
    >>> metrics.registry.get_sample_value(
    ...     "rtmlops_rows_total", {"service": "storage", "stream": "datacenter"}
    ... )
    3.0
    """

    def __init__(self, service: str, registry: CollectorRegistry | None = None) -> None:
        self.service = service
        self.registry = CollectorRegistry() if registry is None else registry
        by_stream = ["service", "stream"]
        by_partition = ["service", "topic", "partition"]

        def counter(name: str, text: str, labels: list[str]) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, labels: list[str]) -> Gauge:
            return Gauge(name, text, labels, registry=self.registry)

        self.rows = counter("rtmlops_rows_total", "Rows stored.", by_stream)
        self.duplicates = counter(
            "rtmlops_duplicates_total", "Identical repeats, not stored.", by_stream
        )
        self.foreign_keys = counter(
            "rtmlops_foreign_keys_total",
            "Events whose record key is null or not the partition key's value.",
            by_stream,
        )
        self.rejected = counter(
            "rtmlops_rejected_total",
            "Records that are no event, by reason.",
            [*by_stream, "reason"],
        )
        self.dead_letters = counter(
            "rtmlops_dead_letters_total",
            "Dead letters sent, by reason.",
            [*by_stream, "reason"],
        )
        self.events_lost = counter(
            "rtmlops_events_lost_total",
            "Offsets that the log dropped before they were read.",
            by_partition,
        )
        self.fenced = counter(
            "rtmlops_fenced_total",
            "Writes refused because another member owns the partition.",
            by_partition,
        )
        self.write_retries = counter(
            "rtmlops_write_retries_total",
            "Calls to the store repeated after a fault.",
            ["service"],
        )
        self.snapshots_refused = counter(
            "rtmlops_snapshots_refused_total",
            "Stored states that could not be used and were learned again.",
            by_partition,
        )
        self.split_series = counter(
            "rtmlops_split_series_total",
            "Series met on a second partition, where another state scores them.",
            by_stream,
        )
        self.lag = gauge(
            "rtmlops_consumer_lag",
            "Offsets from the stored one to the end.",
            by_partition,
        )
        self.position = gauge(
            "rtmlops_consumer_position", "Next offset to be stored.", by_partition
        )
        self.ready = gauge(
            "rtmlops_ready", "1 while the service is ready.", ["service"]
        )
        self.batch_seconds = Histogram(
            "rtmlops_batch_seconds",
            "Time from first record in hand to commit.",
            ["service"],
            buckets=_BATCH_SECONDS,
            registry=self.registry,
        )
        self.batch_rows = Histogram(
            "rtmlops_batch_rows",
            "Records in a batch.",
            ["service"],
            buckets=(1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000),
            registry=self.registry,
        )

    def totals(self) -> dict[str, int]:
        """Return what was done since the start, over all streams.

        Examples
        --------
        >>> ServiceMetrics("storage").totals()
        {'rows': 0, 'duplicates': 0, 'rejected': 0, 'dead_letters': 0}
        """
        counters = {
            "rows": self.rows,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "dead_letters": self.dead_letters,
        }
        return {
            name: int(
                sum(
                    sample.value
                    for metric in counter.collect()
                    for sample in metric.samples
                    if sample.name.endswith("_total")
                )
            )
            for name, counter in counters.items()
        }

    def forget_partition(self, topic: str, partition: int) -> None:
        """Remove the gauges of a partition that another member reads now."""
        for gauge in (self.lag, self.position):
            gauge.remove_by_labels({"topic": topic, "partition": str(partition)})


class ApiMetrics:
    """The metrics of the retraining API, on a registry of their own.

    Parameters
    ----------
    registry : CollectorRegistry, optional
        Where they are registered; a new one by default.

    Examples
    --------
    >>> metrics = ApiMetrics()
    >>> metrics.requests.labels("api", "POST", "/retrain", "202").inc()
    >>> metrics.jobs.labels("api", "datacenter-power_kw", "queued").set(1)
    """

    service = "api"

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        by_route = ["service", "method", "route"]
        self.requests = Counter(
            "rtmlops_api_requests_total",
            "Requests answered, by route and status.",
            [*by_route, "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "rtmlops_api_request_seconds",
            "Time to answer a request.",
            by_route,
            buckets=_BATCH_SECONDS,
            registry=self.registry,
        )
        self.jobs = Gauge(
            "rtmlops_retrain_jobs",
            "Trainings in the database, by state; absent while it is away.",
            ["service", "model", "state"],
            registry=self.registry,
        )
        self.ready = Gauge(
            "rtmlops_ready",
            "1 while the service is ready.",
            ["service"],
            registry=self.registry,
        )
