"""Decoding: canonical objects, and complaints in the words that a real 1.34.4 answered with."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.apimachinery.schema import decode, encode
from kloster.apimachinery.schema.model import Field, Leaf, ListType, MapType, StructType
from kloster.kinds.catalog import catalog

_PATHS = {
    "Pod": ("", "v1"),
    "Secret": ("", "v1"),
    "ResourceQuota": ("", "v1"),
    "Event": ("", "v1"),
    "Deployment": ("apps", "v1"),
    "ControllerRevision": ("apps", "v1"),
    "Lease": ("coordination.k8s.io", "v1"),
    "NetworkPolicy": ("networking.k8s.io", "v1"),
    "SubjectAccessReview": ("authorization.k8s.io", "v1"),
    "CustomResourceDefinition": ("apiextensions.k8s.io", "v1"),
}


def type_of(kind: str) -> StructType:
    found = catalog("1.34").type(*_PATHS[kind], kind)
    assert found is not None
    return found


def pod_spec(**spec: Any) -> Any:
    return {"spec": spec}


def container(**fields: Any) -> Any:
    return {"spec": {"containers": [fields]}}


def schema(**fields: Any) -> Any:
    return {"spec": {"versions": [{"schema": {"openAPIV3Schema": fields}}]}}


_INTO = "json: cannot unmarshal {} into Go struct field {} of type {}"
_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_PORT = "NetworkPolicyPort.spec.ingress.ports.port"
_SCHEMA = "JSONSchemaProps.spec.versions.schema.openAPIV3Schema"


def created(text: str) -> Any:
    return {"metadata": {"creationTimestamp": text}}


def time_error(text: str, rest: str, layout: str = "2006-01-02T15:04:05Z07:00") -> str:
    return f'parsing time "{text}" as "{layout}": cannot parse {rest}'


REFUSED = [
    ("Deployment", {"spec": {"replicas": "x"}}, _INTO.format("string", "DeploymentSpec.spec.replicas", "int32")),
    ("Deployment", {"spec": {"replicas": 1.0}}, _INTO.format("number 1.0", "DeploymentSpec.spec.replicas", "int32")),
    (
        "Deployment",
        {"spec": {"replicas": 3000000000}},
        _INTO.format("number 3000000000", "DeploymentSpec.spec.replicas", "int32"),
    ),
    ("Deployment", {"spec": {"replicas": True}}, _INTO.format("bool", "DeploymentSpec.spec.replicas", "int32")),
    ("Deployment", {"spec": []}, _INTO.format("array", "Deployment.spec", "v1.DeploymentSpec")),
    ("Deployment", {"metadata": 5, "spec": []}, _INTO.format("number", "Deployment.metadata", "v1.ObjectMeta")),
    ("Pod", {"metadata": {"labels": {"a": 1}}}, _INTO.format("number", "ObjectMeta.metadata.labels", "string")),
    ("Pod", {"metadata": {"labels": 5}}, _INTO.format("number", "ObjectMeta.metadata.labels", "map[string]string")),
    ("Pod", {"metadata": {"uid": 5}}, _INTO.format("number", "ObjectMeta.metadata.uid", "types.UID")),
    ("Pod", pod_spec(restartPolicy=5), _INTO.format("number", "PodSpec.spec.restartPolicy", "v1.RestartPolicy")),
    ("Pod", pod_spec(containers={}), _INTO.format("object", "PodSpec.spec.containers", "[]v1.Container")),
    ("Pod", pod_spec(containers=[5]), _INTO.format("number", "PodSpec.spec.containers", "v1.Container")),
    ("Pod", container(name=5), _INTO.format("number", "Container.spec.containers.name", "string")),
    (
        "Pod",
        container(resources={"limits": "a"}),
        _INTO.format("string", "ResourceRequirements.spec.containers.resources.limits", "v1.ResourceList"),
    ),
    (
        "Pod",
        container(securityContext={"capabilities": {"add": [5]}}),
        _INTO.format("number", "Capabilities.spec.containers.securityContext.capabilities.add", "v1.Capability"),
    ),
    ("Pod", container(resources={"limits": {"cpu": "x"}}), _QUANTITY),
    ("Pod", container(resources={"limits": {"cpu": True}}), _QUANTITY),
    ("Secret", {"data": {"a": "?"}}, "illegal base64 data at input byte 0"),
    ("Secret", {"data": {"a": "YQ"}}, "illegal base64 data at input byte 0"),
    ("Secret", {"data": {"a": "YWJjYWJjY"}}, "illegal base64 data at input byte 8"),
    ("Secret", {"data": {"a": "YQ=a"}}, "illegal base64 data at input byte 2"),
    ("Secret", {"data": {"a": "YQ==a"}}, "illegal base64 data at input byte 4"),
    ("Secret", {"data": {"a": 5}}, _INTO.format("number", "Secret.data", "[]uint8")),
    ("Secret", {"data": 5}, _INTO.format("number", "Secret.data", "map[string][]uint8")),
    ("Pod", created("x"), time_error("x", '"x" as "2006"')),
    ("Pod", created(""), time_error("", '"" as "2006"')),
    ("Pod", created("2020-01-01"), time_error("2020-01-01", '"" as "T"')),
    ("Pod", created("2020-2-03T04:00:50Z"), time_error("2020-2-03T04:00:50Z", '"2-03T04:00:50Z" as "01"')),
    ("Pod", created("2020-13-01T00:00:00Z"), 'parsing time "2020-13-01T00:00:00Z": month out of range'),
    ("Pod", created("2020-02-30T00:00:00Z"), 'parsing time "2020-02-30T00:00:00Z": day out of range'),
    ("Pod", created("2020-02-03T24:00:00Z"), 'parsing time "2020-02-03T24:00:00Z": hour out of range'),
    ("Pod", created("2020-02-03T04:00:50Zx"), 'parsing time "2020-02-03T04:00:50Zx": extra text: "x"'),
    ("Pod", created("é"), time_error(r"\xc3\xa9", r'"\xc3\xa9" as "2006"')),
    (
        "Pod",
        {"metadata": {"creationTimestamp": 5}},
        _INTO.format("number", "ObjectMeta.metadata.creationTimestamp", "string"),
    ),
    (
        "Lease",
        {"spec": {"renewTime": "2020-01-01T00:00:00Z"}},
        time_error("2020-01-01T00:00:00Z", '"Z" as ".000000"', "2006-01-02T15:04:05.000000Z07:00"),
    ),
    (
        "SubjectAccessReview",
        {"spec": {"extra": {"a": "b"}}},
        _INTO.format("string", "SubjectAccessReviewSpec.spec.extra", "v1.ExtraValue"),
    ),
    (
        "SubjectAccessReview",
        {"spec": {"extra": {"a": [5]}}},
        _INTO.format("number", "SubjectAccessReviewSpec.spec.extra", "string"),
    ),
    # What decodes itself ends the decoding, and its complaint is the answer though something came before it.
    (
        "NetworkPolicy",
        {"spec": {"policyTypes": [5], "ingress": [{"ports": [{"port": 1.5}]}]}},
        _INTO.format("number 1.5", _PORT, "int32"),
    ),
    ("NetworkPolicy", {"spec": {"ingress": [{"ports": [{"port": {}}]}]}}, _INTO.format("object", _PORT, "int32")),
    ("CustomResourceDefinition", schema(items={"type": 5}), _INTO.format("number", f"{_SCHEMA}.items", "string")),
    (
        "CustomResourceDefinition",
        schema(items={"properties": {"a": 5}}),
        _INTO.format("number", f"{_SCHEMA}.items", "v1.JSONSchemaProps"),
    ),
    (
        "CustomResourceDefinition",
        schema(properties={"a": {"minimum": "x"}}),
        _INTO.format("string", f"{_SCHEMA}.properties.minimum", "float64"),
    ),
    ("CustomResourceDefinition", schema(additionalProperties=5), "boolean or JSON schema expected"),
]


@pytest.mark.parametrize(("kind", "value", "text"), REFUSED, ids=[f"{case[0]}-{case[1]}" for case in REFUSED])
def test_refused(kind: str, value: Any, text: str) -> None:
    with pytest.raises(decode.DecodeError) as caught:
        decode.decode(type_of(kind), value)
    assert caught.value.text == text
    assert caught.value.code == 400
    assert caught.value.message == f'{kind} in version "v1" cannot be handled as a {kind}: {text}'


CANONICAL: list[tuple[str, Any, Any]] = [
    ("Secret", {"data": {"a": None, "b": ""}}, {"metadata": {}, "data": {"a": "", "b": ""}}),
    ("Secret", {"data": {"a": "YR=\n="}}, {"metadata": {}, "data": {"a": "YQ=="}}),
    ("Secret", {"data": {}, "type": "", "immutable": False}, {"metadata": {}, "immutable": False}),
    ("Secret", {"metadata": None, "data": None}, {"metadata": {}}),
    (
        "Lease",
        {"spec": {"renewTime": "2020-01-01T02:00:00.123000+02:00", "leaseDurationSeconds": 0}},
        {"metadata": {}, "spec": {"leaseDurationSeconds": 0, "renewTime": "2020-01-01T00:00:00.123000Z"}},
    ),
    (
        "Event",
        {"firstTimestamp": "2020-02-29T12:00:00.5+02:00", "lastTimestamp": "0001-01-01T00:00:00Z"},
        {
            "metadata": {},
            "involvedObject": {},
            "source": {},
            "firstTimestamp": "2020-02-29T10:00:00Z",
            "reportingComponent": "",
            "reportingInstance": "",
        },
    ),
    (
        "ControllerRevision",
        {"data": {"b": [1.50, None], "a": {}}},
        {"metadata": {}, "data": {"b": [1.5, None], "a": {}}, "revision": 0},
    ),
    (
        "Pod",
        {"spec": {"volumes": [{"name": "a", "emptyDir": {}}, None], "containers": []}, "kind": "Pod"},
        {
            "kind": "Pod",
            "metadata": {},
            "spec": {"volumes": [{"name": "a", "emptyDir": {}}, {"name": ""}], "containers": []},
            "status": {},
        },
    ),
]


@pytest.mark.parametrize(("kind", "value", "expected"), CANONICAL, ids=[f"{case[0]}-{case[1]}" for case in CANONICAL])
def test_canonical(kind: str, value: Any, expected: Any) -> None:
    decoded = decode.decode(type_of(kind), value)
    assert decoded.object == expected
    assert list(decoded.object) == list(expected)
    assert decoded.unknown == []


def test_input_stays_as_it_was() -> None:
    value = {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "0.5"}}}]}}
    decoded = decode.decode(type_of("Pod"), value)
    assert value == {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "0.5"}}}]}}
    decoded.object["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "9"
    assert value["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "0.5"}}


def test_structs_that_are_filled_in_are_not_shared() -> None:
    first, second = (decode.decode(type_of("Pod"), {}).object for _ in range(2))
    first["status"]["phase"] = "Running"
    assert second["status"] == {}


def test_unknown_fields_are_dropped_and_listed_in_the_documents_order() -> None:
    value = {
        "Spec": {},
        "spec": {
            "foo": 1,
            "template": {"spec": {"zz": {"a": 1}, "containers": [{"foo": 1, "ports": [{"bar": 1}], "name": "a"}]}},
        },
    }
    decoded = decode.decode(type_of("Deployment"), value)
    assert decoded.unknown == [
        'unknown field "Spec"',
        'unknown field "spec.foo"',
        'unknown field "spec.template.spec.zz"',
        'unknown field "spec.template.spec.containers[0].foo"',
        'unknown field "spec.template.spec.containers[0].ports[0].bar"',
    ]
    pod = decoded.object["spec"]["template"]["spec"]
    assert pod == {"containers": [{"name": "a", "ports": [{"containerPort": 0}], "resources": {}}]}


def test_alternatives_are_not_decoded_strictly() -> None:
    decoded = decode.decode(
        type_of("CustomResourceDefinition"), schema(items={"foo": 1, "type": "string"}, properties={"a": {"b": 1}})
    )
    assert decoded.unknown == ['unknown field "spec.versions[0].schema.openAPIV3Schema.properties.a.b"']
    found = decoded.object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert found == {"items": {"type": "string"}, "properties": {"a": {}}}


def test_path_stands_before_findings() -> None:
    assert decode.decode(type_of("Pod"), {"x": 1}, path="items[0]").unknown == ['unknown field "items[0].x"']


def custom() -> StructType:
    """A custom resource: spec {replicas, list of {k}, map of any}, status open."""
    meta = catalog("1.34").struct("apimachinery/pkg/apis/meta/v1.ObjectMeta")
    assert meta is not None
    root, spec, item, status = (
        StructType(name, sorted=True, open=name == "status")
        for name in ("example.com/v1.Golden", "spec", "item", "status")
    )
    item.fields["k"] = Field("k", Leaf.STRING)
    spec.fields = {
        "replicas": Field("replicas", Leaf.INT32),
        "list": Field("list", ListType(item)),
        "map": Field("map", MapType(Leaf.ANY)),
    }
    root.fields = {
        "apiVersion": Field("apiVersion", Leaf.STRING),
        "kind": Field("kind", Leaf.STRING),
        "metadata": Field("metadata", meta),
        "spec": Field("spec", spec),
        "status": Field("status", status),
    }
    return root


def test_custom_resources_are_pruned_only() -> None:
    value = {
        "spec": {"x": 1, "replicas": "wrong type", "list": [{"k": None, "y": 2}, 5], "map": {"b": 1.0}},
        "status": {"anything": {"goes": None}},
        "metadata": {"name": "a", "labels": None},
        "other": 1,
    }
    decoded = decode.decode(custom(), value)
    assert decoded.object == {
        "spec": {"replicas": "wrong type", "list": [{"k": None}, 5], "map": {"b": 1.0}},
        "status": {"anything": {"goes": None}},
        "metadata": {"name": "a"},
    }
    assert decoded.unknown == [
        'unknown field "other"',
        'unknown field "spec.list[0].y"',
        'unknown field "spec.x"',
    ]


def test_custom_resources_metadata_is_checked() -> None:
    with pytest.raises(decode.DecodeError) as caught:
        decode.decode(custom(), {"metadata": {"labels": {"a": 5}}})
    assert caught.value.text == _INTO.format("number", "ObjectMeta.labels", "string")


def test_custom_resources_are_written_with_sorted_keys() -> None:
    value = {"spec": {"map": {"b": 1.0, "a": 2}, "list": []}, "metadata": {"name": "x", "generation": 1, "uid": "u"}}
    head, tail = encode.split(custom(), value)
    assert head == b'"metadata":{"generation":1,"name":"x","resourceVersion":"'
    assert tail == b'","uid":"u"},"spec":{"list":[],"map":{"a":2,"b":1}}}'


def test_what_json_cannot_say_is_read_as_go_reads_it() -> None:
    value = {"metadata": {"annotations": {"a": "\ud800x", "b": "\ud83d\ude00"}}}
    assert decode.decode(type_of("Pod"), value).object["metadata"]["annotations"] == {"a": "\ufffdx", "b": "😀"}
    assert decode.decode(type_of("ControllerRevision"), {"data": 10**30}).object["data"] == 1e30


@pytest.mark.parametrize("depth", [300, 5000])
def test_too_deep(depth: int) -> None:
    data: Any = {}
    for _ in range(depth):
        data = {"a": data}
    with pytest.raises(decode.DecodeError) as caught:
        decode.decode(type_of("ControllerRevision"), {"data": data})
    assert caught.value.text == "json: exceeded max depth"


def test_deep_enough() -> None:
    nested: Any = {"type": "string"}
    for _ in range(120):
        nested = {"properties": {"a": nested}}
    definition = decode.decode(type_of("CustomResourceDefinition"), schema(**nested)).object
    assert encode.order(type_of("CustomResourceDefinition"), definition)["spec"]["versions"][0]["schema"] == {
        "openAPIV3Schema": nested
    }
