"""The served models as gauges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from rtmlops_lib.models.hot_models import HotModels

__all__ = ["ModelCollector"]


class ModelCollector(Collector):
    """Shows which versions serve, and how the registry does, at each scrape.

    Parameters
    ----------
    models : mapping of (str, str) to HotModels
        By stream and kind of model (``power``, ``forest``).
    """

    def __init__(self, models: Mapping[tuple[str, str], HotModels[Any]]) -> None:
        self._models = models

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the gauges; called by the metrics server's thread."""
        serving = GaugeMetricFamily(
            "rtmlops_model_version",
            "Version that serves in a role.",
            labels=["stream", "model", "role"],
        )
        texts = {
            "rtmlops_registry_up": "1 while the model registry answers.",
            "rtmlops_model_from_disk": "1 while the last verified champion serves "
            "because the registry was away at the start.",
            "rtmlops_model_loads": "Versions taken into service since the start.",
            "rtmlops_model_refusals": "Versions refused since the start.",
        }
        others = {
            name: GaugeMetricFamily(name, text, labels=["stream", "model"])
            for name, text in texts.items()
        }
        for names, models in self._models.items():
            for one in models.snapshot:
                serving.add_metric([*names, one.role], one.version.version)
            state = models.state
            values = (state.registry_up, state.from_disk, state.loads, state.refusals)
            for gauge, value in zip(others.values(), values, strict=True):
                gauge.add_metric([*names], float(value))
        return [serving, *others.values()]
