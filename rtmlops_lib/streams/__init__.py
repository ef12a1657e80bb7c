"""What streams are, and how their bytes become columns."""

from rtmlops_lib.streams.batch import ColumnBatch, PartitionOffset, TopicPartition
from rtmlops_lib.streams.catalog import builtin_specs, resolve_spec
from rtmlops_lib.streams.codec import Decoded, JsonCodec
from rtmlops_lib.streams.derived import (
    anomaly_column,
    anomaly_spec,
    derived_specs,
    prediction_spec,
)
from rtmlops_lib.streams.infer import infer_spec
from rtmlops_lib.streams.keys import foreign_keys
from rtmlops_lib.streams.raw import RawRecords
from rtmlops_lib.streams.reasons import Reason, Reject
from rtmlops_lib.streams.spec import (
    FieldSpec,
    FieldType,
    ModelInputs,
    StreamSpec,
    TimeFormat,
    TimeSpec,
)

__all__ = [
    "ColumnBatch",
    "Decoded",
    "FieldSpec",
    "FieldType",
    "JsonCodec",
    "ModelInputs",
    "PartitionOffset",
    "RawRecords",
    "Reason",
    "Reject",
    "StreamSpec",
    "TimeFormat",
    "TimeSpec",
    "TopicPartition",
    "anomaly_column",
    "anomaly_spec",
    "builtin_specs",
    "derived_specs",
    "foreign_keys",
    "infer_spec",
    "prediction_spec",
    "resolve_spec",
]
