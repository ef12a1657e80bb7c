"""A service's metrics, over a real socket on this machine."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from rtmlops_lib.teaching import free_port, gauges


def test_metrics_are_read_by_the_beginnings_of_their_names() -> None:
    registry, port = CollectorRegistry(), free_port()
    Gauge("rtmlops_lag", "x", ["partition"], registry=registry).labels("0").set(7)
    Gauge("rtmlops_up", "x", registry=registry).set(1)
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        assert gauges(port, "rtmlops_lag") == {'rtmlops_lag{partition="0"}': 7.0}
        assert set(gauges(port, "rtmlops_up", "rtmlops_lag")) == {
            "rtmlops_up",
            'rtmlops_lag{partition="0"}',
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_nobody_there_means_no_metrics() -> None:
    assert gauges(free_port(), "rtmlops_") == {}
