"""Tables that services fill from a stream's events, as specs of their own."""

from __future__ import annotations

from rtmlops_lib.streams.spec import FieldSpec, FieldType, StreamSpec

__all__ = ["derived_specs", "prediction_spec"]


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
    keys = {name: spec.fields[name] for name in spec.identity_fields}
    name = FieldSpec(type=FieldType.STRING, required=True)
    return spec.evolve(
        name=f"{spec.name}_predictions"[:48],
        table=_table(spec.table, "predictions"),
        description=f"Predictions of {spec.target}, one row an event and model role.",
        identity=(*spec.identity, "model_name", "role"),
        fields={
            **{n: field.model_dump() for n, field in keys.items()},
            "model_name": name.model_dump(),
            "role": name.model_dump(),
            "model_version": FieldSpec(
                type=FieldType.INTEGER, required=True
            ).model_dump(),
            "predicted": FieldSpec(
                unit=spec.fields[spec.target].unit, required=True
            ).model_dump(),
        },
        partition_key=spec.partition_key
        if spec.partition_key in keys
        else next(iter(keys)),
        series_key=tuple(n for n in spec.series_key if n in keys) or tuple(keys),
        target=None,
        model=None,
        derived=True,
        rollups=False,
    )


def derived_specs(spec: StreamSpec) -> list[StreamSpec]:
    """Return the specs of all tables that services fill from this stream's events."""
    return [] if spec.derived or spec.target is None else [prediction_spec(spec)]


def _table(source: str, what: str) -> str:
    # metrics, service_metrics -> predictions, service_predictions
    stem = source.removesuffix("metrics")
    return f"{stem}{what}" if stem != source else f"{source[:35]}_{what}"
