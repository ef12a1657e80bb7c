"""Tables that services fill from a stream's events, as specs of their own."""

from __future__ import annotations

from rtmlops_lib.streams.spec import FieldSpec, FieldType, StreamSpec

__all__ = ["anomaly_column", "anomaly_spec", "derived_specs", "prediction_spec"]


def prediction_spec(spec: StreamSpec) -> StreamSpec:
    """Return the table of predictions of a stream's target.

    Its identity is the event's and the model's name and role; the version is an
    attribute, so that an event is predicted once whatever is promoted meanwhile.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> table = prediction_spec(builtin_specs()["datacenter"])
    >>> table.table, table.identity
    ('predictions', ('server_id', 'time', 'model_name', 'role'))
    """
    if spec.target is None:
        raise ValueError(f"stream {spec.name!r} has no target")
    name = FieldSpec(type=FieldType.STRING, required=True)
    return _derived(
        spec,
        "predictions",
        f"Predictions of {spec.target}, one row an event and model role.",
        identity=("model_name", "role"),
        fields={
            "model_name": name,
            "role": name,
            "model_version": FieldSpec(type=FieldType.INTEGER, required=True),
            "predicted": FieldSpec(unit=spec.fields[spec.target].unit, required=True),
        },
    )


def anomaly_spec(spec: StreamSpec) -> StreamSpec:
    """Return the table of what detectors say of a stream's events.

    Its identity is the event's and the detector's name: one row an event and
    detector. ``model_version`` names the versions of the models among the witnesses,
    and is absent where there was none.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> table = anomaly_spec(builtin_specs()["services"])
    >>> table.table, table.identity
    ('service_anomalies', ('service', 'server_id', 'time', 'detector'))
    """
    text = FieldSpec(type=FieldType.STRING)
    name = FieldSpec(type=FieldType.STRING, required=True)
    fields = {
        "stream": name,
        "detector": name,
        "model_version": text,
        "score": FieldSpec(required=True, unit="1", minimum=0, maximum=1),
        "severity": name,
        "metric": text,
        "flagged": FieldSpec(type=FieldType.BOOLEAN, required=True),
        "witnesses": text,
    }
    return _derived(
        spec,
        "anomalies",
        "What detectors say, one row an event and detector.",
        identity=(anomaly_column(spec, "detector"),),
        fields={anomaly_column(spec, n): field for n, field in fields.items()},
    )


def anomaly_column(spec: StreamSpec, name: str) -> str:
    """Return what a column of ``anomaly_spec`` is called; the event's keys go first.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> anomaly_column(builtin_specs()["labels"], "metric")
    'metric'
    >>> anomaly_column(builtin_specs()["services"], "service")
    'anomaly_service'
    """
    return f"anomaly_{name}" if name in spec.identity else name


def derived_specs(spec: StreamSpec) -> list[StreamSpec]:
    """Return the specs of all tables that services fill from this stream's events."""
    if spec.derived:
        return []
    found = [] if spec.target is None else [prediction_spec(spec)]
    if spec.watched and spec.numeric_fields:
        found.append(anomaly_spec(spec))
    return found


def _derived(
    spec: StreamSpec,
    what: str,
    description: str,
    *,
    identity: tuple[str, ...],
    fields: dict[str, FieldSpec],
) -> StreamSpec:
    keys = {name: spec.fields[name] for name in spec.identity_fields}
    return spec.evolve(
        name=f"{spec.name}_{what}"[:48],
        table=_table(spec.table, what),
        description=description,
        identity=(*spec.identity, *identity),
        fields={n: field.model_dump() for n, field in {**keys, **fields}.items()},
        partition_key=spec.partition_key
        if spec.partition_key in keys
        else next(iter(keys)),
        series_key=tuple(n for n in spec.series_key if n in keys) or tuple(keys),
        target=None,
        model=None,
        derived=True,
        rollups=False,
    )


def _table(source: str, what: str) -> str:
    # metrics, service_metrics -> predictions, service_predictions
    stem = source.removesuffix("metrics")
    return f"{stem}{what}" if stem != source else f"{source[:35]}_{what}"
