"""Throughput, each figure beside a bare loop or a peer in the same run."""
