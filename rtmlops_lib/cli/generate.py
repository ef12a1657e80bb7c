"""``rtmlops generate``: a simulated datacenter into Kafka or the store."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtmlops_lib.cli.generate_report import GenerationBar, print_summary
from rtmlops_lib.cli.options import (
    ClientOption,
    JsonOption,
    TopicPrefixOption,
    chosen_specs,
    load_settings,
    parse_seconds,
)
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    from rtmlops_lib.services.generator import BackfillStore, Generator
    from rtmlops_lib.services.generator_plan import LivePlan
    from rtmlops_lib.services.generator_summary import GenerationSummary
    from rtmlops_lib.settings import Settings
    from rtmlops_lib.streams import StreamSpec
    from rtmlops_lib.transport import EventProducer

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
            "fast as possible, then stop; --client confluent does it ten times as "
            "fast.",
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
            "seed and flags give the same events at the same times. Another one "
            "over times that were sent before conflicts with them.",
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

    It begins by working out the five hours before the first event, since noise and
    heat remember them: a moment for 20 servers, ten seconds for 1,000 that are read
    every second.

    Of two events with the same server and time storage keeps the first. So runs may
    overlap if --seed, --profile, --interval and --drift are the same, and otherwise
    end as dead letters where they differ; a warning says so. Without --speed, --rate
    and --backfill a run begins now, behind what was sent before.
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
    print_summary(summary, specs, as_json=json)
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
    with _producer(settings, specs) as (producer, newest):
        start = plan.behind(newest, start)
        overlap = _overlap(newest, start)
        with GenerationBar(plan.events) as bar:
            summary = generator.live(
                producer, plan, start, progress=bar.tell, warming=bar.warm
            )
    summary.overlap_until = overlap
    return summary


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
    bar = GenerationBar(total)

    def progress(steps: int) -> None:
        nonlocal done
        done += steps * servers
        bar.tell(done)

    tells: dict[str, Any] = {"progress": progress, "warming": bar.warm}
    if direct:
        with _backfill_store(settings, specs) as store, bar:
            return generator.direct(store, start, end, **tells)
    with _producer(settings, specs) as (producer, newest):
        overlap = _overlap(newest, start)
        with bar:
            summary = generator.backfill(producer, start, end, **tells)
    summary.overlap_until = overlap
    return summary


@contextmanager
def _producer(
    settings: Settings, specs: Sequence[StreamSpec]
) -> Iterator[tuple[EventProducer, datetime | None]]:
    """Open a producer; also yield the newest event that the topics hold."""
    from rtmlops_lib.services.generator_overlap import newest_event
    from rtmlops_lib.transport import open_admin, open_producer

    with open_admin(settings) as admin:
        made = admin.ensure_topics(specs)
    newest = newest_event(settings, [s for s in specs if s.topic not in made])
    producer = open_producer(settings)
    try:
        yield producer, newest
    finally:
        producer.close()


def _overlap(newest: datetime | None, start: datetime) -> datetime | None:
    from rtmlops_lib.services.generator_overlap import warn_of_overlap

    if newest is None or newest < start:
        return None
    warn_of_overlap(newest, start)
    return newest


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
