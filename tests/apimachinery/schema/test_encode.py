"""Encoding: what Go writes although it is absent, leaves out although it is there, and escapes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kloster.apimachinery.schema import encode
from kloster.apimachinery.schema.model import StructType
from kloster.kinds.catalog import catalog


def type_of(group: str, version: str, kind: str, minor: str = "1.34") -> StructType:
    found = catalog(minor).type(group, version, kind)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        pytest.param(("", "v1", "Secret"), {}, '{"metadata":{}}', id="struct-despite-omitempty"),
        pytest.param(
            ("rbac.authorization.k8s.io", "v1", "Role"),
            {"rules": []},
            '{"metadata":{},"rules":null}',
            id="empty-list-is-null",
        ),
        pytest.param(
            ("", "v1", "Event"),
            {"count": 0, "message": ""},
            '{"metadata":{},"involvedObject":{},"source":{},"firstTimestamp":null,"lastTimestamp":null,'
            '"eventTime":null,"reportingComponent":"","reportingInstance":""}',
            id="zero-times-are-null",
        ),
        pytest.param(
            ("", "v1", "ConfigMap"),
            {"data": {"b": "", "a": "<&>\u2028\u2029\u00e9\u007f\b\f\u0007"}, "unknown": 1},
            '{"metadata":{},"data":{"a":"\\u003c\\u0026\\u003e\\u2028\\u2029\u00e9\u007f\\b\\f\\u0007","b":""}}',
            id="sorted-maps-and-escapes",
        ),
        pytest.param(
            ("scheduling.k8s.io", "v1", "PriorityClass"), {}, '{"metadata":{},"value":0}', id="zero-without-omitempty"
        ),
        pytest.param(
            ("autoscaling", "v1", "Scale"),
            {"spec": {"replicas": 0}, "status": {"replicas": 0}},
            '{"metadata":{},"spec":{},"status":{"replicas":0}}',
            id="scale",
        ),
    ],
)
def test_text(type: tuple[str, str, str], value: Any, expected: str) -> None:
    assert encode.dumps(type_of(*type), value).decode() == expected


@pytest.mark.parametrize(
    ("minor", "expected"),
    [("1.33", {"creationTimestamp": None, "labels": {"a": "b"}}), ("1.34", {"labels": {"a": "b"}})],
)
def test_zero_creation_time_is_written_by_versions_without_omitzero(minor: str, expected: Any) -> None:
    template = {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    ordered = encode.order(type_of("apps", "v1", "Deployment", minor), template)
    assert ordered["spec"]["template"]["metadata"] == expected


@pytest.mark.parametrize(
    ("metadata", "head"),
    [
        pytest.param({}, '"metadata":{"resourceVersion":"', id="empty"),
        pytest.param({"resourceVersion": "7"}, '"metadata":{"resourceVersion":"', id="old-version"),
        pytest.param({"labels": {"a": "b"}}, '"metadata":{"resourceVersion":"', id="only-after"),
        pytest.param(
            {"uid": "u", "namespace": "n", "name": "x"},
            '"metadata":{"name":"x","namespace":"n","uid":"u","resourceVersion":"',
            id="before",
        ),
    ],
)
def test_split(metadata: Any, head: str) -> None:
    type = type_of("", "v1", "ConfigMap")
    value = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"a": "b"}}
    found, tail = encode.split(type, value)
    assert found.decode() == head
    whole = json.loads(b"{" + found + b"5" + tail)
    assert whole == {"metadata": {**metadata, "resourceVersion": "5"}, "data": {"a": "b"}}
    assert value["metadata"] == metadata


def test_order_does_not_change_its_input() -> None:
    value = {"metadata": {"labels": {"b": "1", "a": "2"}}, "data": {"z": "", "a": ""}}
    encode.split(type_of("", "v1", "ConfigMap"), value)
    assert list(value["data"]) == ["z", "a"]
    assert list(value["metadata"]["labels"]) == ["b", "a"]
