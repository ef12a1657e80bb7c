"""Specs: what they refuse, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rtmlops_lib.errors import SpecError, UsageError
from rtmlops_lib.streams import FieldType, StreamSpec, builtin_specs, resolve_spec

SPECS = builtin_specs()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Upper"}, "no identifier"),
        ({"name": "1st"}, "no identifier"),
        ({"table": "a" * 49}, "no identifier"),
        ({"table": 'x"; drop table y'}, "no identifier"),
        ({"table": "metrics\n"}, "no identifier"),
        ({"topic": "no spaces"}, "no Kafka topic"),
        ({"topic": ""}, "no Kafka topic"),
        ({"identity": ["server_id"]}, "must contain the time"),
        ({"identity": ["rack", "time"]}, "not among the fields"),
        ({"identity": ["cpu_usage", "time"]}, "must be a required string"),
        ({"series_key": "power_kw"}, "must be a required string"),
        ({"partition_key": "nowhere"}, "not among the fields"),
        ({"target": "server_id"}, "must be a number"),
        ({"time": {"field": "cpu_usage"}}, "is the time"),
        ({"retention_days": 0}, "greater than 0"),
        ({"partitions": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_contradiction_is_refused_by_name(changes, words):
    with pytest.raises(SpecError, match=words) as caught:
        SPECS["datacenter"].evolve(**changes)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"minimum": 2, "maximum": 1}, "exceeds"),
        ({"type": "string", "minimum": 0}, "bounds need a number"),
        ({"type": "decimal"}, "number"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(field, words):
    plain = SPECS["datacenter"].model_dump()
    plain["fields"]["extra"] = field
    with pytest.raises(SpecError, match=words):
        StreamSpec.from_dict(plain)


@pytest.mark.parametrize("name", ["kafka_offset", "attributes", "Bad", "select;"])
def test_a_field_name_that_no_column_may_have_is_refused(name):
    plain = SPECS["datacenter"].model_dump()
    plain["fields"][name] = {}
    with pytest.raises(SpecError):
        StreamSpec.from_dict(plain)


def test_evolving_leaves_the_original_alone():
    evolved = SPECS["datacenter"].evolve(topic="other", partitions=1)
    assert (evolved.topic, evolved.partitions) == ("other", 1)
    assert SPECS["datacenter"].topic == "datacenter-metrics"


@pytest.mark.parametrize("name", SPECS)
def test_yaml_reads_back_as_the_same_spec(name, tmp_path: Path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPECS[name].to_yaml(), encoding="utf-8")
    assert StreamSpec.load(path) == SPECS[name]
    assert resolve_spec(str(path)) == SPECS[name]


def test_yaml_names_the_time_and_every_type():
    plain = yaml.safe_load(SPECS["datacenter"].to_yaml())
    assert plain["time"] == {"field": "time", "format": "iso8601"}
    assert {field["type"] for field in plain["fields"].values()} == {"string", "number"}


@pytest.mark.parametrize(
    ("text", "words"),
    [("- a\n- b\n", "no mapping"), ("{", "cannot read"), ("name: x\n", "no valid")],
)
def test_a_file_that_is_no_spec_is_refused(tmp_path: Path, text, words):
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=words):
        StreamSpec.load(path)


def test_a_key_given_twice_is_refused(tmp_path: Path):
    path = tmp_path / "twice.yaml"
    path.write_text(builtin_specs()["services"].to_yaml() + "name: other\n")
    with pytest.raises(SpecError, match="'name' is given twice"):
        StreamSpec.load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(SpecError, match="cannot read"):
        resolve_spec(str(tmp_path / "none.yaml"))


def test_an_unknown_stream_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="datacenter, labels, services"):
        resolve_spec("datacentre")


def test_fields_are_told_apart_by_type():
    assert SPECS["services"].identity_fields == ("service", "server_id")
    assert SPECS["labels"].numeric_fields == ("severity",)
    assert SPECS["labels"].fields["ended_at"].type is FieldType.TIME
