"""``rtmlops generate``: a simulated datacenter into Kafka or the store."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from rtmlops_lib.cli.options import (
    ClientOption,
    JsonOption,
    TopicPrefixOption,
    chosen_specs,
    load_settings,
    parse_seconds,
    print_json,
)
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    from rtmlops_lib.services.generator import BackfillStore, Generator
    from rtmlops_lib.services.generator_plan import LivePlan
    from rtmlops_lib.services.generator_summary import GenerationSummary
    from rtmlops_lib.settings import Settings
    from rtmlops_lib.streams import StreamSpec

__all__ = ["generate"]

_MAX_BACKFILL_SECONDS = 3_650 * 86_400
_DEFAULT_DURATION = "300"


def generate(
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            "--config",
            help="How the datacenter behaves: normal, chaos, temperature, network, "
            "production or dev. Sets the defaults of --servers, --interval and "
            "--anomaly-prob.",
        ),
    ] = "normal",
    servers: Annotated[
        int | None,
        typer.Option(
            "--servers",
            help="Size of the fleet, in servers (1 to 10,000). Default: the profile's "
            "(20; production 50, dev 5).",
        ),
    ] = None,
    anomaly_prob: Annotated[
        float | None,
        typer.Option(
            "--anomaly-prob",
            help="Share of a server's time spent in anomalies (0 to 0.5): the "
            "probability that a reading falls into one. 0.05 with 20 servers: one "
            "is in trouble at any time. Default: the profile's (normal 0.01).",
        ),
    ] = None,
    duration: Annotated[
        str,
        typer.Option(
            "--duration",
            help="How long to send, in wall-clock seconds (or 5m, 2h); 0: until "
            "stopped.",
        ),
    ] = _DEFAULT_DURATION,
    interval: Annotated[
        str | None,
        typer.Option(
            "--interval",
            help="Sampling step: simulated seconds between two readings of a server "
            "(10s; 0.1 to 300 s). Default: the profile's (10 s; dev 1 s).",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            help="Server readings a second over the whole fleet (events/s; service "
            "readings come on top). It equals servers * speed / interval: given "
            "alone it sets the speed, with --speed or --duration 0 the step.",
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed",
            help="Simulated seconds a wall-clock second. Simulated time ends now, so "
            "it starts duration * speed before the end. Default: 1.",
        ),
    ] = None,
    backfill: Annotated[
        str | None,
        typer.Option(
            "--backfill",
            help="Send this much of the past (7d, 12h; seconds without a unit) as "
            "fast as possible, then stop.",
        ),
    ] = None,
    direct: Annotated[
        bool,
        typer.Option(
            "--direct",
            help="With --backfill: write into the store, not to Kafka (no unit).",
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            help="Seed of all random numbers (a whole number, no unit); the same "
            "seed and flags give the same events at the same times.",
        ),
    ] = 42,
    drift: Annotated[
        list[str] | None,
        typer.Option(
            "--drift",
            help="A lasting change NAME=VALUE; may be repeated. power_curve: factor "
            "on power for the same load; load: factor on demand; ambient: degrees "
            "Celsius added (ambient=+5).",
        ),
    ] = None,
    drift_at: Annotated[
        str | None,
        typer.Option(
            "--drift-at",
            help="When it sets in: a moment (2025-09-30T12:00:00Z), +2h (simulated "
            "time after the start), or 50% of the simulated span. Default: from "
            "the start.",
        ),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            "--stream",
            help="Send only this stream: datacenter, services or labels (a name, no "
            "unit); may be repeated. Default: all three.",
        ),
    ] = None,
    topic_prefix: TopicPrefixOption = None,
    client: ClientOption = None,
    json: JsonOption = False,
) -> None:
    """Simulate a datacenter and send its events.

    Live at a steady rate, or with --backfill a stretch of the past at once. Topics
    are created where missing. Ctrl-C ends it with a summary.
    """
    from rtmlops_lib.services.generator import Generator, stop_on_signals
    from rtmlops_lib.services.generator_plan import LivePlan, drift_moment
    from rtmlops_lib.simulator import (
        DatacenterSimulator,
        Drift,
        SimulatorSettings,
        load_profile,
    )
    from rtmlops_lib.streams import builtin_specs

    _refuse_contradictions(backfill, direct, duration, rate, speed, drift, drift_at)
    step = None if interval is None else parse_seconds(interval, option="--interval")
    simulated = SimulatorSettings.of_profile(
        profile,
        servers=servers,
        interval_seconds=step,
        anomaly_prob=anomaly_prob,
        seed=seed,
    )
    now = datetime.now(UTC)
    plan: LivePlan | None = None
    end: datetime | None
    if backfill is None:
        plan = LivePlan.resolve(
            servers=simulated.servers,
            default_interval_seconds=load_profile(profile).interval_seconds,
            interval_seconds=step,
            rate=rate,
            speed=speed,
            duration_seconds=parse_seconds(duration, option="--duration"),
        )
        simulated = SimulatorSettings.of_profile(
            profile,
            servers=servers,
            interval_seconds=plan.interval_seconds,
            anomaly_prob=anomaly_prob,
            seed=seed,
        )
        start = plan.start(now)
        span = plan.speed * plan.duration_seconds
        end = start + timedelta(seconds=span) if span else None
    else:
        start, end = now - _backfill_span(backfill, simulated.interval_seconds), now
    at = None if drift_at is None else drift_moment(drift_at, start, end)
    simulated = SimulatorSettings(
        servers=simulated.servers,
        interval_seconds=simulated.interval_seconds,
        seed=simulated.seed,
        anomaly_prob=simulated.anomaly_prob,
        mix=simulated.mix,
        duration_scale=simulated.duration_scale,
        drifts=tuple(Drift.parse(text, at) for text in drift or ()),
    )
    unknown = sorted(set(stream or ()) - set(builtin_specs()))
    if unknown:
        raise UsageError(
            f"--stream {unknown[0]!r} is not simulated",
            remedy=f"give one of {', '.join(builtin_specs())}",
        )
    settings = load_settings(topic_prefix=topic_prefix, kafka_client=client)
    specs = chosen_specs(stream, settings)
    stop = Event()
    generator = Generator(DatacenterSimulator(simulated), specs, stop=stop)
    with stop_on_signals(stop) as received:
        if plan is not None:
            summary = _live(generator, settings, specs, plan, start)
        else:
            summary = _backfill(generator, settings, specs, start, now, direct=direct)
    if received:
        summary.stopped_by = signal.Signals(received[0]).name
    _print(summary, specs, as_json=json)
    if received and received[0] == signal.SIGINT:
        raise typer.Exit(128 + signal.SIGINT)


def _refuse_contradictions(
    backfill: str | None,
    direct: bool,
    duration: str,
    rate: float | None,
    speed: float | None,
    drift: Sequence[str] | None,
    drift_at: str | None,
) -> None:
    if direct and backfill is None:
        raise UsageError(
            "--direct goes only with --backfill: live events pass through Kafka",
            remedy="add --backfill 7d or leave --direct out",
        )
    given = {
        "--rate": rate is not None,
        "--speed": speed is not None,
        "--duration": duration != _DEFAULT_DURATION,
    }
    for name, present in given.items():
        if present and backfill is not None:
            raise UsageError(
                f"{name} contradicts --backfill, which sends as fast as possible",
                remedy=f"leave {name} or --backfill out",
            )
    if drift_at is not None and not drift:
        raise UsageError(
            "--drift-at says when, but no --drift says what",
            remedy="add --drift power_curve=1.2",
        )


def _backfill_span(text: str, interval_seconds: float) -> timedelta:
    seconds = parse_seconds(text, option="--backfill")
    if not interval_seconds <= seconds <= _MAX_BACKFILL_SECONDS:
        raise UsageError(
            f"--backfill must be at least one --interval ({interval_seconds:g} s) and "
            f"at most 3650d, got {text}",
            remedy="try 7d",
        )
    return timedelta(seconds=seconds)


def _live(
    generator: Generator,
    settings: Settings,
    specs: Sequence[StreamSpec],
    plan: LivePlan,
    start: datetime,
) -> GenerationSummary:
    with _producer(settings, specs) as producer, _bar("events", plan.events) as tell:
        return generator.live(producer, plan, start, progress=tell)


def _backfill(
    generator: Generator,
    settings: Settings,
    specs: Sequence[StreamSpec],
    start: datetime,
    end: datetime,
    *,
    direct: bool,
) -> GenerationSummary:
    done = 0
    servers = generator.simulator.settings.servers
    total = generator.simulator.steps(start, end) * servers
    with _bar("events", total) as tell:

        def progress(steps: int) -> None:
            nonlocal done
            done += steps * servers
            tell(done)

        if not direct:
            with _producer(settings, specs) as producer:
                return generator.backfill(producer, start, end, progress=progress)
        with _backfill_store(settings, specs) as store:
            return generator.direct(store, start, end, progress=progress)


@contextmanager
def _producer(settings: Settings, specs: Sequence[StreamSpec]) -> Iterator[Any]:
    from rtmlops_lib.transport import open_admin, open_producer

    with open_admin(settings) as admin:
        admin.ensure_topics(specs)
    producer = open_producer(settings)
    try:
        yield producer
    finally:
        producer.close()


@contextmanager
def _backfill_store(
    settings: Settings, specs: Sequence[StreamSpec]
) -> Iterator[BackfillStore]:
    from rtmlops_lib.store.factory import open_store

    store = open_store(settings)
    try:
        store.migrate(specs)
        yield store
    finally:
        store.close()


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, refresh_per_second=2, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(what, total=total, rate="")

        def tell(done: int) -> None:
            speed = progress.tasks[task].speed
            rate = "" if speed is None else f"{speed:,.0f}/s"
            progress.update(task, completed=done, rate=rate)

        yield tell


def _print(
    summary: GenerationSummary, specs: Sequence[StreamSpec], *, as_json: bool
) -> None:
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
