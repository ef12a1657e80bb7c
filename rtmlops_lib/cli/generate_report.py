"""What ``rtmlops generate`` shows: a bar while it runs, a summary at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from rtmlops_lib.cli.printing import messages, print_json

if TYPE_CHECKING:
    from rtmlops_lib.services.generator_summary import GenerationSummary
    from rtmlops_lib.streams import StreamSpec

__all__ = ["GenerationBar", "print_summary"]

_WARM_UP = "warming up"


class GenerationBar(Progress):
    """A bar for the warm-up, then one for the events; nothing but on a terminal.

    Parameters
    ----------
    total : int, optional
        Server readings that will be sent, where that is known.
    """

    def __init__(self, total: int | None) -> None:
        console = messages()
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=2,
            disable=not console.is_terminal,
        )
        self._total = total
        self._task = self.add_task(_WARM_UP, total=100, rate="%")

    def warm(self, share: float) -> None:
        """Show which share of the warm-up is done."""
        self.update(self._task, completed=round(100 * share))

    def tell(self, done: int) -> None:
        """Show how many server readings were sent."""
        task = self.tasks[self._task]
        if task.description == _WARM_UP:
            self.reset(self._task, total=self._total, description="events", rate="")
        speed = task.speed
        rate = "" if speed is None else f"{speed:,.0f}/s"
        self.update(self._task, completed=done, rate=rate)


def print_summary(
    summary: GenerationSummary, specs: Sequence[StreamSpec], *, as_json: bool
) -> None:
    """Print what a run did, to standard output."""
    topics = {spec.name: spec.topic for spec in specs}
    if as_json:
        print_json({**summary.as_dict(), "topics": topics})
        return
    facts = summary.as_dict()
    where = "the store" if summary.mode == "direct" else "Kafka"
    parts = ", ".join(
        f"{count:,} {name}"
        + ("" if summary.mode == "direct" else f" to {topics[name]}")
        for name, count in summary.sent.items()
    )
    typer.echo(f"sent to {where}: {parts or 'nothing'}")
    if facts["first_event"]:
        typer.echo(f"event time {facts['first_event']} to {facts['last_event']}")
    if summary.sent:
        text = f"{summary.rate:,.1f} server readings/s over {summary.seconds:,.1f} s"
        if summary.rate_asked is not None:
            off = summary.rate / summary.rate_asked - 1
            text += f" (asked {summary.rate_asked:,.1f}, {off:+.1%})"
        typer.echo(text)
    if not summary.kept_up:
        typer.echo(
            "the rate could not be held: lower --rate or --speed, or try "
            "--client confluent"
        )
    if summary.duplicates:
        typer.echo(f"{summary.duplicates:,} of them were stored already")
    if summary.refused:
        typer.echo(
            f"{summary.refused:,} stand in the store with other values, which stay: "
            "another --seed, --profile or --drift wrote the same times"
        )
    if summary.stopped_by:
        typer.echo(f"stopped by {summary.stopped_by}")
