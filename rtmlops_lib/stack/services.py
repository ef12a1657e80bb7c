"""The services that a stack can run, in one table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtmlops_lib.errors import UsageError
from rtmlops_lib.stack._home import StackHome
from rtmlops_lib.stack._program import Program

__all__ = ["API_PORT_OFFSET", "MAY_WAIT", "SERVICES", "Service", "chosen_services"]


@dataclass(frozen=True, slots=True)
class Service:
    """One headless service: the very command that compose runs.

    Parameters
    ----------
    name : str
        Its name for ``up --services``, ``start``, ``stop``, ``logs``.
    arguments : tuple of str
        What follows ``rtmlops``.
    port_offset : int or None
        Its metrics port is ``RTMLOPS_STACK_METRICS_PORT`` plus this; None = it
        serves no metrics.
    port_option : str
        What its command calls that port.
    in_all : bool
        Whether ``all`` means it too.
    may_wait : bool
        Whether it may wait, running but not ready, for what a fresh stack does not
        have: it is started, and not waited for.
    """

    name: str
    arguments: tuple[str, ...]
    port_offset: int | None
    port_option: str = "--metrics-port"
    in_all: bool = True
    may_wait: bool = False

    def program(self, home: StackHome, first_port: int) -> Program:
        """Return how the supervisor runs it."""
        port = 0 if self.port_offset is None else first_port + self.port_offset
        metrics = (self.port_option, str(port)) if port else ()
        return Program(
            name=self.name,
            command=(*_rtmlops(), *self.arguments, *metrics),
            folder=home.path,
            priority=100,
            # CONTRACTS: flush, commit and leave within 10 s; then some margin.
            stop_seconds=20,
            port=port,
        )


# Offsets are fixed for ever: dashboards and scrape configurations know them.
API_PORT_OFFSET = 5
SERVICES: tuple[Service, ...] = (
    Service("storage", ("consume", "storage"), port_offset=0),
    Service(
        "generator",
        ("generate", "--profile", "normal"),
        port_offset=None,
        # A stack that fills itself is a choice, not a default.
        in_all=False,
    ),
    # Until a first model was trained and promoted there is nothing to predict with.
    Service("predictor", ("consume", "predictor"), port_offset=1, may_wait=True),
    Service("detector", ("consume", "detector"), port_offset=2),
    # Until there are events and a champion there is nothing to hold against anything.
    Service("monitor", ("monitor",), port_offset=3, may_wait=True),
    Service("trainer", ("trainer",), port_offset=4),
    Service("api", ("api",), port_offset=API_PORT_OFFSET, port_option="--port"),
)

MAY_WAIT = frozenset(service.name for service in SERVICES if service.may_wait)


def chosen_services(text: str) -> list[Service]:
    """Return the services that ``storage,generator``, ``all`` or ``none`` means.

    Examples
    --------
    >>> [service.name for service in chosen_services("all")]
    ['storage', 'predictor', 'detector', 'monitor', 'trainer', 'api']

    Raises
    ------
    UsageError
        For a name that is none.
    """
    known = {service.name: service for service in SERVICES}
    chosen: dict[str, Service] = {}
    for name in (item.strip() for item in text.split(",")):
        if name == "all":
            chosen |= {s.name: s for s in SERVICES if s.in_all}
        elif name in known:
            chosen[name] = known[name]
        elif name not in ("", "none"):
            raise UsageError(
                f"no service is called {name!r}; there are {', '.join(known)}",
                remedy="give one or more of these with commas, or all, or none",
            )
    return list(chosen.values())


def _rtmlops() -> Sequence[str]:
    script = Path(sys.executable).with_name("rtmlops")
    if script.is_file():
        return (str(script),)
    return (sys.executable, "-c", "from rtmlops_lib.cli import main; main()")
