"""Strict decoding as recorded from a real server: order, paths, and what is not looked at."""

from __future__ import annotations

import json

import pytest

from kloster.apimachinery.schema import decode, strict
from kloster.apimachinery.schema.model import Field, Leaf, MapType, StructType
from kloster.kinds.catalog import catalog


def findings(kind: tuple[str, str, str], text: str) -> list[str]:
    type = catalog("1.34").type(*kind)
    assert type is not None
    return strict.findings(type, text.encode(), decode.decode(type, json.loads(text)).unknown)


SECRET = ("", "v1", "Secret")
POD = ("", "v1", "Pod")
REVISION = ("apps", "v1", "ControllerRevision")
CRD = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        pytest.param(SECRET, '{"metadata":{"name":"x"}}', [], id="clean"),
        pytest.param(
            SECRET,
            '{"metadata":{"name":"x","name":"y","foo":1},"a":{},"metadata":{},"data":{"k":null,"k":""}}',
            [
                'duplicate field "metadata.name"',
                'unknown field "metadata.foo"',
                'unknown field "a"',
                'duplicate field "metadata"',
                'duplicate field "data.k"',
            ],
            id="in-order",
        ),
        pytest.param(
            POD,
            '{"spec":{"containers":[{"name":"a","name":"b","name":"c"}]}}',
            ['duplicate field "spec.containers[0].name"'],
            id="once",
        ),
        pytest.param(SECRET, '{"x":1,"x":2}', ['unknown field "x"'], id="unknown-twice"),
        pytest.param(REVISION, '{"data":{"a":1,"a":2}}', [], id="raw"),
        pytest.param(
            CRD,
            '{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"items":{"type":"a","type":"b"},"x":1}}}]}}',
            ['unknown field "spec.versions[0].schema.openAPIV3Schema.x"'],
            id="alternatives",
        ),
    ],
)
def test_findings(kind: tuple[str, str, str], text: str, expected: list[str]) -> None:
    assert findings(kind, text) == expected


def test_at_most_a_hundred() -> None:
    assert len(findings(SECRET, json.dumps({f"x{number}": 1 for number in range(150)}))) == 100


def test_custom_resources_report_duplicates_everywhere_and_first() -> None:
    type = StructType("example.com/v1.Golden", sorted=True)
    type.fields["spec"] = Field("spec", MapType(Leaf.ANY))
    text = '{"x":{"y":1,"y":2},"spec":{"a":[{"b":1,"b":2}]}}'
    unknown = decode.decode(type, json.loads(text)).unknown
    assert strict.findings(type, text.encode(), unknown) == [
        'duplicate field "x.y"',
        'duplicate field "spec.a[0].b"',
        'unknown field "x"',
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{}", False), ('[{"a":1},{"a":1}]', False), ('{"a":{"b":1,"b":1}}', True), ('{"a":1,"\\u0061":2}', True)],
)
def test_has_duplicates(text: str, expected: bool) -> None:
    assert strict.has_duplicates(text.encode()) is expected


def test_broken_text_is_read_as_go_reads_it() -> None:
    assert strict.has_duplicates(b'{"a\xff":1,"a\xfe":2}')
