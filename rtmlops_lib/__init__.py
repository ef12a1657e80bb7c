"""rtmlops: real-time machine-learning operations on any Kafka stream."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("rtmlops")
