"""The catalog: every minor's data is whole, and says what the recorded servers said."""

from __future__ import annotations

import pytest

from kloster.apimachinery.schema import decode, encode
from kloster.apimachinery.schema.model import EitherType, Leaf, ListType, MapType, StructType, Type
from kloster.kinds import catalog as catalogs
from kloster.kinds.catalog import MINORS, catalog, parse_version
from kloster.kinds.strategy import DEFAULT, Strategy


def walk(type: Type, seen: set[int]) -> None:
    """Build everything that can be reached from `type`."""
    if isinstance(type, ListType):
        walk(type.item, seen)
    elif isinstance(type, MapType):
        walk(type.value, seen)
    elif isinstance(type, StructType) and id(type) not in seen:
        seen.add(id(type))
        assert type.fields or type.name.endswith(_EMPTY), type.name
        for name, field in type.fields.items():
            assert field.name == name
            walk(field.type, seen)


# Structs without fields: their presence is what they say.
_EMPTY = ("SubresourceStatus", "StorageVersionSpec", "DisruptionMode", "SchedulingPolicy")


def test_minors() -> None:
    assert MINORS == ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")


@pytest.mark.parametrize("minor", MINORS)
def test_every_type_builds_its_graph(minor: str) -> None:
    found = catalog(minor)
    seen: set[int] = set()
    for name in found.type_names:
        struct = found.struct(name)
        assert struct is not None and struct.name == name
        walk(struct, seen)
    assert len(seen) >= len(found.type_names)


@pytest.mark.parametrize("minor", MINORS)
def test_every_kind_decodes_and_encodes(minor: str) -> None:
    for kind in catalog(minor).kinds.values():
        value = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a"}}
        decoded = decode.decode(kind.type, value)
        assert decoded.unknown == []
        assert list(encode.order(kind.type, decoded.object))[:2] == ["kind", "apiVersion"]
        if "list" in kind.verbs:
            assert catalog(minor).type(kind.group, kind.version, f"{kind.kind}List") is not None
            assert kind.columns[0][0].lower() in ("name", "last seen"), kind.plural


@pytest.mark.parametrize("minor", MINORS)
def test_bootstrap_objects_are_known_whole(minor: str) -> None:
    found = catalog(minor)
    assert found.bootstrap
    for item in found.bootstrap:
        group, _, version = item["apiVersion"].rpartition("/")
        kind = found.by_kind(group, version, item["kind"])
        assert kind is not None
        decoded = decode.decode(kind.type, item)
        assert decoded.unknown == []
        assert encode.order(kind.type, decoded.object) == encode.order(kind.type, item)


@pytest.mark.parametrize("minor", MINORS)
def test_subresources_have_types(minor: str) -> None:
    found = catalog(minor)
    for kind in found.kinds.values():
        for subresource in kind.subresources.values():
            group, version = subresource.group, subresource.version
            if not version:
                group, version = kind.group, kind.version
            assert found.type(group, version, subresource.kind) is not None, (kind.plural, subresource)


@pytest.mark.parametrize("minor", MINORS)
def test_strategies_load(minor: str) -> None:
    assert all(isinstance(kind.strategy, Strategy) for kind in catalog(minor).kinds.values())


@pytest.mark.parametrize(
    ("group", "version", "plural", "storage"),
    [
        ("", "v1", "events", ("/events", "v1")),
        ("events.k8s.io", "v1", "events", ("/events", "v1")),
        ("autoscaling", "v1", "horizontalpodautoscalers", ("autoscaling/horizontalpodautoscalers", "autoscaling/v2")),
        ("autoscaling", "v2", "horizontalpodautoscalers", ("autoscaling/horizontalpodautoscalers", "autoscaling/v2")),
        ("apps", "v1", "deployments", ("apps/deployments", "apps/v1")),
        ("", "v1", "pods", ("/pods", "v1")),
    ],
)
def test_storage(group: str, version: str, plural: str, storage: tuple[str, str]) -> None:
    kind = catalog("1.34").lookup(group, version, plural)
    assert kind is not None
    assert (kind.storage_id, kind.storage_version) == storage


def test_older_versions_are_stored_as_the_preferred_one() -> None:
    kind = catalog("1.31").lookup("flowcontrol.apiserver.k8s.io", "v1beta3", "flowschemas")
    assert kind is not None
    assert kind.storage_version == "flowcontrol.apiserver.k8s.io/v1"


def test_facts_of_a_kind() -> None:
    kind = catalog("1.34").lookup("", "v1", "services")
    assert kind is not None
    assert (kind.kind, kind.singular, kind.namespaced, kind.builtin) == ("Service", "service", True, True)
    assert kind.short_names == ("svc",) and kind.categories == ("all",)
    assert kind.subresources["status"].verbs == ("get", "patch", "update")
    assert list(kind.selectable) == ["metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"]
    assert kind.columns[1] == ("Type", "string", "", 0)
    assert kind.storage_hash


def test_facts_of_a_field() -> None:
    type = catalog("1.34").type("", "v1", "ServiceSpec")
    assert type is not None
    ports, selector = type.fields["ports"], type.fields["selector"]
    assert isinstance(ports.type, ListType) and isinstance(selector.type, MapType)
    assert (ports.type.kind, ports.type.keys) == ("map", ("port", "protocol"))
    assert (ports.merge_key, ports.strategies, ports.number) == ("port", ("merge",), 1)
    assert selector.type.atomic
    item = ports.type.item
    assert isinstance(item, StructType) and item.fields["port"].required and not item.fields["nodePort"].required
    assert item.fields["targetPort"].type is Leaf.INT_OR_STRING


def test_alternatives_share_the_structs_fields() -> None:
    schema = catalog("1.34").struct("apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps")
    assert schema is not None
    items = schema.fields["items"].type
    assert isinstance(items, EitherType)
    assert items.fields is schema.fields and items.struct is schema
    assert isinstance(items.other, ListType)


@pytest.mark.parametrize(
    ("group", "version", "kind"),
    [
        ("", "v1", "DeleteOptions"),
        ("apps", "v1", "DeleteOptions"),
        ("meta.k8s.io", "v1", "Table"),
        ("meta.k8s.io", "v1", "PartialObjectMetadataList"),
        ("", "v1", "PodExecOptions"),
        ("", "v1", "Status"),
        ("autoscaling", "v1", "Scale"),
        ("policy", "v1", "Eviction"),
        ("authentication.k8s.io", "v1", "TokenRequest"),
        ("apps", "v1", "DeploymentList"),
        ("apiregistration.k8s.io", "v1", "APIService"),
    ],
)
def test_types_that_are_not_served(group: str, version: str, kind: str) -> None:
    found = catalog("1.34").type(group, version, kind)
    assert found is not None and found.name.endswith(f".{kind}")


def test_types_and_kinds_that_there_are_not() -> None:
    found = catalog("1.31")
    assert found.type("", "v1", "Nothing") is None
    assert found.lookup("", "v1", "nothings") is None
    assert found.lookup("resource.k8s.io", "v1", "resourceclaims") is None
    assert found.by_kind("apps", "v1", "Pod") is None


@pytest.mark.parametrize("minor", MINORS)
def test_version(minor: str) -> None:
    version = catalog(minor).version
    assert f"{version['major']}.{version['minor']}" == minor
    assert version["gitVersion"] == f"{catalog(minor).git_version}+kloster.1"


@pytest.mark.parametrize("text", ["1.34", "v1.34", "v1.34.4", "1.34.4", "v1.34.4+kloster.1", " v1.34 "])
def test_parse_version(text: str) -> None:
    assert parse_version(text) == "1.34"


@pytest.mark.parametrize("text", ["", "1", "1.3", "1.30", "1.34.99", "v2.34", "latest", "1.34.4.4"])
def test_parse_version_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"not supported; supported are 1\.31 \(v1\.31\.0\), .*1\.37 \(v1\.37\."):
        parse_version(text)


def test_catalogs_are_shared() -> None:
    assert catalog("1.34") is catalog("1.34")
    assert catalog("1.34").lookup("", "v1", "pods") is catalog("1.34").lookup("", "v1", "pods")


def test_descriptions() -> None:
    text, fields = catalog("1.34").descriptions()["api/core/v1.Pod"]
    assert text.startswith("Pod is a collection of containers")
    assert "spec" in fields


def test_strategies_without_a_module() -> None:
    assert catalogs.strategy("authorization.k8s.io", "subjectaccessreviews") is DEFAULT
    assert catalogs.strategy("nowhere.example.com", "nothings") is DEFAULT


@pytest.mark.parametrize(("group", "folder"), [("", "core"), ("apps", "apps"), ("rbac.authorization.k8s.io", "rbac")])
def test_folder(group: str, folder: str) -> None:
    assert catalogs.folder(group) == folder
