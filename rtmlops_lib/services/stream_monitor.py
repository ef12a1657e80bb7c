"""The watch over one stream's model: error first, inputs second, then what follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from rtmlops_lib.errors import ConfigurationFault, DependencyUnavailable
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.aliases import CHAMPION
from rtmlops_lib.models.errors import ModelRefused, RegistryUnavailable
from rtmlops_lib.models.features import Features
from rtmlops_lib.models.names import model_name
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.models.scores import percentage_errors
from rtmlops_lib.monitoring import DriftVerdict
from rtmlops_lib.monitoring.advice import advise
from rtmlops_lib.services.drift_reference import series_column, with_series
from rtmlops_lib.services.event_windows import EventWindow, EventWindows
from rtmlops_lib.services.monitor_metrics import STATE_NUMBERS, MonitorMetrics
from rtmlops_lib.services.probation_watch import ProbationWatch
from rtmlops_lib.services.reference_cache import ReferenceCache
from rtmlops_lib.services.retrain_asker import RetrainAsker
from rtmlops_lib.services.version_watch import KEPT_REPORTS, VersionWatch
from rtmlops_lib.settings import Settings
from rtmlops_lib.store import Probation
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

__all__ = ["StreamMonitor"]

log = get_logger(__name__)

# Rows of a window that are looked at one by one; beyond, whole series are left out.
MAX_ROWS = 200_000
# A champion that predicted less than this of a window is not judged by it.
LEAST_SHARE = 0.5
# How long stored and predicted events may differ before the window is taken as it is.
PATIENCE_SECONDS = 30.0
# A reference that was refused may have been cut on its way: it is fetched anew.
REFUSED_SECONDS = 60.0
# So long windows that wait are judged before probation and other streams get a look.
TURN_SECONDS = 10.0
# Between two trainings on an error that the first could not bring down.
LONGEST_WAIT_SECONDS = 86_400.0


class StreamMonitor:
    """Judges the windows of one stream and does what the verdicts ask for.

    What it knows is in the database (reports, alerts, jobs, probations) and in the
    registry; a new process goes on behind the last report.

    Parameters
    ----------
    settings : Settings
    spec : StreamSpec
        With a target.
    registry : ModelRegistry
    store : PostgresStore
    metrics : MonitorMetrics
    stopping : threading.Event
        Set when the service shall end.
    beat : callable
        Told that the watch is alive, window by window.

    Attributes
    ----------
    behind : bool
        Whether the last step left windows that may be judged already.
    """

    def __init__(
        self,
        settings: Settings,
        spec: StreamSpec,
        registry: ModelRegistry,
        store: PostgresStore,
        metrics: MonitorMetrics,
        *,
        stopping: threading.Event,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = model_name(settings, spec)
        self._settings = settings
        self._spec = spec
        self._registry = registry
        self._store = store
        self._metrics = metrics
        self._stopping = stopping
        self._beat = beat
        self._inputs = Features.of_spec(spec).inputs
        self._references = ReferenceCache(settings, registry, self.name)
        self._asker = RetrainAsker(settings, store)
        self._probation = ProbationWatch(
            registry,
            store,
            spec,
            self.name,
            seconds=settings.probation_seconds,
            on_rollback=self._tell_rollback,
            beat=beat,
        )
        self._watch: VersionWatch | None = None
        self._windows: EventWindows | None = None
        self._newest: datetime | None = None
        self._asked: str | None = None
        self._looked_at = 0.0
        self._shown: set[tuple[str, str]] = set()
        self.behind = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What the watch cannot do, though nothing is broken; each with a remedy."""
        return () if self._watch is None else self._watch.notes

    @property
    def _labels(self) -> tuple[str, str]:
        return self._spec.name, self.name

    def step(self) -> str | None:
        """Look once; return why there is nothing to watch, None when all is well.

        Where several windows wait, as they do after a monitor was away, it judges
        them for one turn's time at the most and then says so by ``behind``: between
        them aliases and probation, and other streams, are looked at as ever.

        Raises
        ------
        RtmlopsError
            When database or API do not answer; the next step goes on from there.
        """
        self.behind = False
        self._newest = (
            self._store.newest_time(self._spec, since=self._newest) or self._newest
        )
        if self._newest is None:
            return f"stream {self._spec.name!r} has no stored events yet"
        problem = None
        watched: Probation | None = None
        try:
            watched = self._heed_probation(self._newest)
            problem = self._follow(self._registry.aliases(self.name))
            self._metrics.registry_up.labels(*self._labels).set(1)
        except RegistryUnavailable as error:
            # The windows go on against the reference that is known.
            self._metrics.registry_up.labels(*self._labels).set(0)
            problem = str(error)
            if self._watch is None:
                self._resume(self._references.remembered())
        if self._watch is None or self._windows is None:
            return problem or f"{self.name} has no champion; run 'rtmlops train power'"
        self.behind = self._catch_up(self._watch, self._windows, self._newest)
        if problem is None and not self.behind:
            # What an old window said may be over by the newest.
            problem = self._heed_error(self._watch, watched)
        return problem

    def _catch_up(
        self, watch: VersionWatch, windows: EventWindows, newest: datetime
    ) -> bool:
        """Judge what waits, for one turn's time; return whether more may wait."""
        turn = min(TURN_SECONDS, self._settings.monitor_poll_seconds)
        until = time.monotonic() + turn
        while not self._stopping.is_set():
            window = windows.next(newest)
            if window is None:
                break
            self._judge(watch, window)
            windows.done(window)
            self._beat()
            if time.monotonic() > until:
                return windows.next(newest) is not None
        return False

    # -- whom we watch ------------------------------------------------------------

    def _heed_probation(self, newest: datetime) -> Probation | None:
        aliases = self._registry.aliases(self.name)
        watched, decided = self._probation.step(aliases, newest)
        self._metrics.probation.labels(*self._labels).set(float(watched is not None))
        if decided == "rolled_back":
            self._metrics.rollbacks.labels(*self._labels).inc()
        if decided == "passed":
            self._resolve("rollback")
        return watched

    def _follow(self, aliases: Mapping[str, int]) -> str | None:
        number = aliases.get(CHAMPION)
        if number is None:
            self._watch = None
            return f"{self.name} has no champion; run 'rtmlops train power'"
        same = self._watch is not None and self._watch.version.version == number
        if same and self._watch is not None:
            again = time.monotonic() - self._looked_at > REFUSED_SECONDS
            if self._watch.problem is None or not again:
                return self._watch.problem
        self._looked_at = time.monotonic()
        version = self._registry.version(self.name, number)
        replaced = self._watch is not None and not same
        problem = self._resume(version)
        if replaced:
            # What was said of the former champion is over with it.
            self._resolve("error")
            self._resolve("input")
        return problem

    def _resume(self, version: ModelVersion | None) -> str | None:
        """Go on with a version behind the last window that was judged."""
        if version is None:
            return None
        problem = None
        try:
            reference = self._references.load(version)
        except ModelRefused as error:
            reference, problem = None, str(error)
        self._watch = VersionWatch(version, reference, problem)
        self._asked = None
        seconds = self._settings.monitor_window_seconds
        if reference is not None:
            seconds = reference.window.total_seconds()
        if self._windows is None or self._windows.length.total_seconds() != seconds:
            self._windows = EventWindows(
                self._store,
                self._spec,
                self.name,
                seconds=seconds,
                lateness_seconds=self._settings.monitor_lateness_seconds,
                patience_seconds=min(
                    PATIENCE_SECONDS, 3 * self._settings.monitor_poll_seconds
                ),
            )
            self._windows.resume(self._judged_until("error"))
        for kind in ("input", "error"):
            self._watch.restore(kind, self._reports(kind))
        # A process before us may have been killed between a report and its alert.
        for kind, verdict in self._watch.last.items():
            if kind == "input":
                self._tell_inputs(verdict)
            else:
                self._tell_errors(self._watch, verdict)
        log.info(
            "watching",
            model=self.name,
            version=version.version,
            window_seconds=seconds,
            problem=problem,
        )
        for note in self._watch.notes:
            log.warning("not_judged", model=self.name, reason=note)
        return problem

    def _judged_until(self, kind: str) -> datetime | None:
        reports = self._store.drift_reports.list(
            stream=self._spec.name, model_name=self.name, kind=kind, limit=1
        )
        return None if reports.empty else reports["window_end"].iloc[0].to_pydatetime()

    def _reports(self, kind: str) -> list[dict[str, Any]]:
        found = self._store.drift_reports.list(
            stream=self._spec.name,
            model_name=self.name,
            kind=kind,
            limit=KEPT_REPORTS,
            with_reports=True,
        )
        return [{str(k): v for k, v in row.items()} for row in found.to_dict("records")]

    # -- a window -----------------------------------------------------------------

    def _judge(self, watch: VersionWatch, window: EventWindow) -> None:
        one_in = -(-window.rows // MAX_ROWS)
        if self._judged_until("input") != window.end:
            # Else a process before us was killed between the two.
            verdict = watch.judge_inputs(self._input_rows(window, one_in), window)
            self._write("input", watch, window, verdict, {})
            self._tell_inputs(verdict)
        served = self._served(window)
        predicted = self._store.predicted_rows(
            self._spec,
            self.name,
            CHAMPION,
            watch.version.version,
            since=window.start,
            until=window.end,
            one_series_in=one_in,
        )
        target = self._spec.target or ""
        verdict = watch.judge_errors(
            predicted[self._spec.time.field],
            percentage_errors(
                predicted[target].to_numpy(float),
                predicted["predicted"].to_numpy(float),
            ),
            with_series(predicted, self._spec)[series_column(self._spec)],
            window,
            enough=len(predicted) * one_in >= LEAST_SHARE * window.rows,
        )
        self._write("error", watch, window, verdict, {"served": served})
        self._tell_errors(watch, verdict)
        self._metrics.window_end.labels(*self._labels).set(window.end.timestamp())

    def _input_rows(self, window: EventWindow, one_in: int) -> Any:
        frame = self._store.window_rows(
            self._spec,
            [self._spec.time.field, *self._spec.series_key, *self._inputs],
            since=window.start,
            until=window.end,
            one_series_in=one_in,
        )
        return with_series(frame, self._spec)

    def _served(self, window: EventWindow) -> list[dict[str, Any]]:
        """Return each role's and version's error over all rows; show it."""
        found = self._store.live_error(
            self._spec, self.name, since=window.start, until=window.end
        )
        names = ["role", "model_version", "rows", "mae", "mape", "rmse", "bias"]
        served = [
            {str(k): v for k, v in row.items()}
            for row in found[names].to_dict("records")
        ]
        shown = set()
        for one in served:
            role, version = str(one["role"]), str(one["model_version"])
            shown.add((role, version))
            for gauge, value in (
                (self._metrics.mape, one["mape"]),
                (self._metrics.mae, one["mae"]),
                (self._metrics.rows, one["rows"]),
            ):
                gauge.labels(*self._labels, role, version).set(float(value))
        for role, version in self._shown - shown:
            for gauge in (self._metrics.mape, self._metrics.mae, self._metrics.rows):
                gauge.remove(*self._labels, role, version)
        self._shown = shown
        return served

    def _write(
        self,
        kind: str,
        watch: VersionWatch,
        window: EventWindow,
        verdict: DriftVerdict,
        more: Mapping[str, Any],
    ) -> None:
        self._store.drift_reports.add(
            stream=self._spec.name,
            model_name=self.name,
            model_version=watch.version.version,
            kind=kind,
            window_start=window.start,
            window_end=window.end,
            state=verdict.state,
            report={**verdict.to_dict(), **watch.beside(kind), **more},
        )
        self._metrics.state.labels(*self._labels, kind).set(
            STATE_NUMBERS[verdict.state]
        )
        self._metrics.windows.labels(*self._labels, kind, verdict.state).inc()
        for row in verdict.features:
            if row.effect is not None and row.threshold:
                self._metrics.effect.labels(*self._labels, row.name).set(
                    row.effect / row.threshold
                )
        log.info(
            "window_judged",
            model=self.name,
            kind=kind,
            version=watch.version.version,
            until=window.end.isoformat(),
            state=verdict.state,
            reason=verdict.reason,
        )

    # -- what follows -------------------------------------------------------------

    def _tell_rollback(self, reason: str, detail: Mapping[str, Any]) -> None:
        self._alert(
            "rollback",
            severity="critical",
            message=f"{self.name} was rolled back: {reason}",
            detail=detail,
        )

    def _tell_inputs(self, verdict: DriftVerdict) -> None:
        # Again with each window of an episode that is to be told of, also where the
        # first was held back, or we were killed between report and alert.
        if verdict.state == "drift" and verdict.after.told and not self._held():
            self._alert(
                "input",
                severity="warning",
                message=f"inputs of {self.name} drift: {verdict.reason}",
                detail={"window_end": verdict.end},
            )
        elif verdict.state == "stable":
            self._resolve("input")

    def _tell_errors(self, watch: VersionWatch, verdict: DriftVerdict) -> None:
        if verdict.state == "drift" and not self._held():
            self._alert(
                "error",
                severity="critical",
                message=f"the error of {self.name} v{watch.version.version} grew: "
                f"{verdict.reason}",
                detail={
                    "window_end": verdict.end,
                    "change_point": verdict.change_point,
                    "version": watch.version.version,
                },
            )
        elif verdict.state == "stable":
            self._resolve("error")

    def _heed_error(self, watch: VersionWatch, watched: Probation | None) -> str | None:
        """Ask for a training where the error of the champion has grown.

        A champion on probation is not retrained away: the probation decides first.
        """
        verdict = watch.last.get("error")
        if verdict is None or advise(verdict, watch.last.get("input")) != "retrain":
            self._asked = None
            return None
        if watched is not None or self._held():
            return None
        if self._in_vain():
            self._count_request("cooldown")
            return None
        change = verdict.change_point
        try:
            result = self._asker.ask(
                self._spec,
                self.name,
                reason=f"live error of v{watch.version.version}: {verdict.reason}",
                change_point=None if change is None else datetime.fromisoformat(change),
            )
        except (ConfigurationFault, DependencyUnavailable) as error:
            self._count_request("failed")
            return str(error)
        self._count_request(result)
        return None

    def _in_vain(self) -> bool:
        """Return whether trainings of this episode came to nothing a while ago.

        The wait doubles with each, up to a day: what the rows of the last hours could
        not teach, those of the next will hardly.
        """
        open_ = self._store.alerts.records(open_only=True, limit=500)
        begun = [row["raised_at"] for row in open_ if row["key"] == self._key("error")]
        if not begun:
            return False
        ended = [
            job.finished_at
            for job in self._store.retrain_jobs.newest(model_name=self.name, limit=20)
            if job.requested_at >= begun[0]
            and job.state in ("refused", "failed")
            and job.finished_at is not None
        ]
        if not ended:
            return False
        wait = self._settings.api_cooldown_seconds * 2 ** len(ended)
        waited = (datetime.now(UTC) - max(ended)).total_seconds()
        return bool(waited < min(wait, LONGEST_WAIT_SECONDS))

    def _count_request(self, result: str) -> None:
        if result == self._asked:
            return
        self._asked = result
        self._metrics.retrain.labels(*self._labels, result).inc()
        log.info("retrain_asked", model=self.name, result=result)

    def _held(self) -> bool:
        """Return whether a rollback was so lately that alerts wait."""
        until = self._probation.held_until(self._settings.api_cooldown_seconds)
        return until is not None and datetime.now(UTC) < until

    def _key(self, kind: str) -> str:
        return f"{kind}:{self._spec.name}:{self.name}"

    def _alert(
        self, kind: str, *, severity: Any, message: str, detail: Mapping[str, Any]
    ) -> None:
        _, new = self._store.alerts.report(
            self._key(kind),
            kind=f"model_{kind}",
            severity=severity,
            message=message,
            stream=self._spec.name,
            detail={"model": self.name, **detail},
        )
        if new:
            log.warning("alert_raised", model=self.name, kind=kind, message=message)

    def _resolve(self, kind: str) -> None:
        if self._store.alerts.resolve(self._key(kind)):
            log.info("alert_resolved", model=self.name, kind=kind)
