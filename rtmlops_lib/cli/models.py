"""``rtmlops models``: what is registered, and who serves."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import (
    JsonOption,
    SchemaOption,
    TopicPrefixOption,
    chosen_spec,
    load_settings,
)
from rtmlops_lib.cli.printing import new_table, output, print_json
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    from rtmlops_lib.models.known_model import KnownModel
    from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
    from rtmlops_lib.settings import Settings
    from rtmlops_lib.store import ModelEvent

__all__ = ["app"]

app = subcommands("List, compare, promote and roll back registered models.")

ModelStreamOption = Annotated[
    str, typer.Option("--stream", help="The stream whose model is meant.")
]
WhichOption = Annotated[
    str,
    typer.Option(
        "--model", help="power: what predicts the target; anomaly: the forest."
    ),
]
VersionArgument = Annotated[int, typer.Argument(min=1, help="Version number.")]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in model_events.")]


@app.command("list")
def list_(
    stream: ModelStreamOption = "datacenter",
    model: WhichOption = "power",
    topic_prefix: TopicPrefixOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all versions of a model, newest first."""
    _, known, registry = _context(stream, model, topic_prefix=topic_prefix)
    name = known.name
    versions = registry.versions(name)
    rows = [_row(version) for version in versions]
    if as_json:
        print_json(rows)
        return
    if not rows:
        output().print(f"{name} has no versions; 'rtmlops train {model}' makes one")
        return
    table = new_table(*rows[0], numbers=("version", "rows", "mape"))
    for row in rows:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    output().print(table)


@app.command()
def compare(
    first: VersionArgument,
    second: VersionArgument,
    stream: ModelStreamOption = "datacenter",
    model: WhichOption = "power",
    topic_prefix: TopicPrefixOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what two versions measured and where they came from, side by side."""
    _, known, registry = _context(stream, model, topic_prefix=topic_prefix)
    name = known.name
    found = [registry.version(name, number) for number in (first, second)]
    metrics = [registry.metrics(version.run_id) for version in found]
    tags = ("window_start", "window_end", "rows", "kind", "features", "git_sha")
    rows: list[dict[str, Any]] = [
        {"what": key, "first": metrics[0].get(key), "second": metrics[1].get(key)}
        for key in sorted({*metrics[0], *metrics[1]})
    ]
    rows += [
        {"what": tag, "first": found[0].tags.get(tag), "second": found[1].tags.get(tag)}
        for tag in tags
    ]
    if as_json:
        print_json(rows)
        return
    table = new_table("", f"v{first}", f"v{second}")
    for row in rows:
        shown = (row["first"], row["second"])
        table.add_row(
            row["what"],
            *(f"{v:.6g}" if isinstance(v, float) else str(v or "") for v in shown),
        )
    output().print(table)


@app.command()
def promote(
    version: VersionArgument,
    to: Annotated[
        str, typer.Option(help="champion, or challenger: to score in shadow.")
    ] = "champion",
    force: Annotated[
        bool, typer.Option("--force", help="Overrule the gate; needs --reason.")
    ] = False,
    reason: ReasonOption = "",
    stream: ModelStreamOption = "datacenter",
    model: WhichOption = "power",
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run the gate on stored rows; if it passes, make a version champion.

    Exit 1 when the gate refuses.
    """
    from rtmlops_lib.models.promotion import promote_version
    from rtmlops_lib.store.factory import open_store

    if to not in ("champion", "challenger"):
        raise UsageError(f"--to {to!r} is no role", remedy="give champion, challenger")
    if force and not reason.strip():
        raise UsageError(
            "--force needs a --reason", remedy="say why the gate is overruled"
        )
    settings, known, registry = _context(
        stream, model, topic_prefix=topic_prefix, database_schema=schema
    )
    name = known.name
    with closing(open_store(settings)) as store:
        gate, events = promote_version(
            registry,
            store,
            known,
            version,
            to="champion" if to == "champion" else "challenger",
            force=force,
            reason=reason,
        )
    passed = gate is None or gate.passed
    if as_json:
        print_json(
            {
                "model": name,
                "version": version,
                "gate": None if gate is None else gate.to_dict(),
                "events": [_event(event) for event in events],
            }
        )
    else:
        if gate is not None:
            output().print(gate.summary)
        _show(name, events)
    return 0 if passed else 1


@app.command()
def rollback(
    reason: ReasonOption,
    stream: ModelStreamOption = "datacenter",
    model: WhichOption = "power",
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the previous version champion again; the present one never comes back."""
    from rtmlops_lib.models.promotion import roll_back
    from rtmlops_lib.store.factory import open_store

    settings, known, registry = _context(
        stream, model, topic_prefix=topic_prefix, database_schema=schema
    )
    name = known.name
    with closing(open_store(settings)) as store:
        events = roll_back(registry, store, name, reason=reason)
    if as_json:
        print_json([_event(event) for event in events])
    else:
        _show(name, events)


def _context(
    stream: str,
    model: str,
    *,
    topic_prefix: str | None,
    database_schema: str | None = None,
) -> tuple[Settings, KnownModel, ModelRegistry]:
    from rtmlops_lib.models.known_model import KnownModel
    from rtmlops_lib.models.names import detector_name, model_name
    from rtmlops_lib.models.registry import ModelRegistry
    from rtmlops_lib.models.require import require_models_extra

    require_models_extra()
    if model not in ("power", "anomaly"):
        raise UsageError(f"--model knows no {model!r}", remedy="give power or anomaly")
    settings = load_settings(topic_prefix=topic_prefix, database_schema=database_schema)
    spec = chosen_spec(stream, settings)
    if model == "power":
        known = KnownModel(model_name(settings, spec), spec, "power")
    else:
        known = KnownModel(detector_name(settings, spec), spec, "anomaly")
    return settings, known, ModelRegistry(settings.mlflow_tracking_uri)


def _row(version: ModelVersion) -> dict[str, Any]:
    import json

    metrics = json.loads(version.tags.get("metrics", "{}"))
    made = datetime.fromtimestamp(version.created_ms / 1000, UTC)
    return {
        "version": version.version,
        "aliases": ", ".join(version.aliases),
        "made": made.isoformat(timespec="seconds"),
        "kind": version.tags.get("kind"),
        "rows": version.tags.get("rows"),
        "mape": metrics.get("mape"),
        "window_end": version.tags.get("window_end"),
        "rolled_back": version.rolled_back,
    }


def _event(event: ModelEvent) -> dict[str, Any]:
    return {
        "action": event.action,
        "alias": event.alias,
        "from_version": event.from_version,
        "to_version": event.to_version,
        "forced": event.forced,
        "reason": event.reason,
    }


def _show(name: str, events: list[ModelEvent]) -> None:
    moved = [event for event in events if event.alias is not None]
    if not moved:
        output().print("no alias moved")
    for event in moved:
        before = "nothing" if event.from_version is None else f"v{event.from_version}"
        after = "nothing" if event.to_version is None else f"v{event.to_version}"
        output().print(f"{name}: {event.alias} was {before}, is {after}")
