"""What streams are, and how their bytes become columns."""

from rtmlops_lib.streams.batch import ColumnBatch, PartitionOffset, TopicPartition
from rtmlops_lib.streams.catalog import builtin_specs, resolve_spec
from rtmlops_lib.streams.codec import Decoded, JsonCodec, RawRecords, Reason, Reject
from rtmlops_lib.streams.spec import (
    FieldSpec,
    FieldType,
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
    "PartitionOffset",
    "RawRecords",
    "Reason",
    "Reject",
    "StreamSpec",
    "TimeFormat",
    "TimeSpec",
    "TopicPartition",
    "builtin_specs",
    "resolve_spec",
]
