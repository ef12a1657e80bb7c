"""Structured logs: event names and key=value pairs, to standard error."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

__all__ = ["configure_logging", "get_logger"]

LogFormat = Literal["auto", "console", "json"]


def configure_logging(
    level: str = "INFO", fmt: LogFormat = "auto", *, clients: bool = True
) -> None:
    """Set up structlog and the standard library's root logger once per process.

    Parameters
    ----------
    level : str
        Lowest level that is written, by its standard name.
    fmt : {"auto", "console", "json"}
        ``auto`` writes for people on a terminal and JSON lines elsewhere.
    clients : bool
        Whether client libraries may warn; what matters to a caller is in our errors.
    """
    console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ
        )
        if console
        else structlog.processors.JSONRenderer()
    )
    tail: list[structlog.typing.Processor] = (
        [renderer] if console else [structlog.processors.format_exc_info, renderer]
    )
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=False,
    )
    # Client libraries log through the standard library: warnings only, in our form.
    # The handler holds them back, not their loggers, whose filters read them all.
    lowest = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(
        level=max(logging.WARNING, lowest),
        stream=_StandardError(),
        force=True,
    )
    form = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, _name_of_logger],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
    )
    for handler in logging.getLogger().handlers:
        handler.setFormatter(form)
        handler.setLevel(logging.NOTSET if clients else logging.CRITICAL + 1)
        handler.addFilter(_worth_a_line)


class _StandardError:
    """Standard error as it is when a line is written, not when logging was set up.

    Notebooks and test runners put another stream in its place, and close it again; a
    logger that kept the former one would end the thread that logs.
    """

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _name_of_logger(
    _: Any, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Name a library's logger as ours are named."""
    event["component"] = event["_record"].name
    return event


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Leave out how long one turn of kafka-python's event loop took."""
    return record.name != "kafka.net.selector" or record.levelno > logging.WARNING


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger bound to ``name``; configuration may come later.

    Examples
    --------
    >>> log = get_logger("rtmlops_lib.example")
    >>> log.bind(topic="trips") is not log
    True
    """
    return cast(FilteringBoundLogger, structlog.get_logger(component=name))
