"""The names of the monitor's metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["STATE_NUMBERS", "MonitorMetrics"]

STATE_NUMBERS = {"unknown": -1.0, "stable": 0.0, "warning": 1.0, "drift": 2.0}


class MonitorMetrics:
    """What a monitor sees, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        model = ["stream", "model"]

        def gauge(name: str, text: str, labels: list[str]) -> Gauge:
            return Gauge(name, text, labels, registry=self.registry)

        def counter(name: str, text: str, labels: list[str]) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        served = [*model, "role", "version"]
        self.mape = gauge(
            "rtmlops_live_error_mape",
            "Mean absolute percentage error in the last window judged, as a share.",
            served,
        )
        self.mae = gauge(
            "rtmlops_live_error_mae",
            "Mean absolute error in the last window judged, in the target's unit.",
            served,
        )
        self.rows = gauge(
            "rtmlops_live_error_rows",
            "Predictions held against the truth in the last window judged.",
            served,
        )
        self.state = gauge(
            "rtmlops_drift_state",
            "Last verdict: 0 stable, 1 warning, 2 drift, -1 unknown.",
            [*model, "kind"],
        )
        self.effect = gauge(
            "rtmlops_drift_effect_over_threshold",
            "A feature's effect in the last window, as a share of its threshold.",
            [*model, "feature"],
        )
        self.windows = counter(
            "rtmlops_monitor_windows_total",
            "Windows judged, by verdict.",
            [*model, "kind", "state"],
        )
        self.window_end = gauge(
            "rtmlops_monitor_window_end_timestamp_seconds",
            "End of the last window judged, in event time.",
            model,
        )
        self.retrain = counter(
            "rtmlops_retrain_requests_total",
            "Trainings asked for, by what became of the request.",
            [*model, "result"],
        )
        self.probation = gauge(
            "rtmlops_probation",
            "1 while the champion is held against the one it replaced.",
            model,
        )
        self.rollbacks = counter(
            "rtmlops_rollbacks_total", "Champions that failed their probation.", model
        )
        self.registry_up = gauge(
            "rtmlops_registry_up", "1 while the model registry answers.", model
        )
        self.ready = gauge(
            "rtmlops_ready", "1 while the service is ready.", ["service"]
        )
