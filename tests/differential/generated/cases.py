"""The cases of a kind, in three parts: creations, then (its full object being stored) changes, and patches of lists."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path as File
from typing import Any

import yaml
from tests.differential.generated import paths
from tests.differential.generated.paths import Path, Place, Setter
from tests.differential.generated.values import Values, other

from kloster.apimachinery import Object
from kloster.apimachinery.schema.model import Leaf, ListType, StructType
from kloster.kinds.catalog import Kind, catalog

NAMESPACE = "diff"
OBJECTS = File(__file__).parent / "objects.yaml"
_JSON, _MERGE = "application/json", "application/merge-patch+json"
_STRATEGIC, _APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
VERSION = "<version of the stored object>"
"""Stands in a body for the resourceVersion that the stored object has got."""


@dataclass(frozen=True)
class Case:
    """One request. `id` tells what it tries; within a kind it is unique."""

    id: str
    method: str
    path: str
    type: str
    body: Any


@dataclass(frozen=True)
class Plan:
    """A kind's cases: `creations` come first, then `stored` is created, `changes` are tried, and it is deleted.

    `stored` is None for kinds that are never stored.
    """

    kind: str
    collection: str
    name: str
    creations: tuple[Case, ...]
    stored: Object | None
    changes: tuple[Case, ...]


@cache
def _described() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(OBJECTS.read_text())
    return found


def kinds(minor: str) -> list[str]:
    """``group/version/plural`` of what has cases in this minor. Quotas and limits come last: they touch others."""
    served = {f"{kind.api_version}/{kind.plural}" for kind in catalog(minor).kinds.values()}
    late = ("v1/resourcequotas", "v1/limitranges")
    return sorted((name for name in _described()["kinds"] if name in served), key=lambda name: (name in late, name))


@cache
def _values(minor: str) -> Values:
    return Values(catalog(minor), _described()["types"])


def plan(minor: str, name: str) -> Plan:
    return _Planner(minor, name).plan()


class _Planner:
    def __init__(self, minor: str, name: str) -> None:
        api_version, _, plural = name.rpartition("/")
        group, _, version = api_version.rpartition("/")
        found = catalog(minor).lookup(group, version, plural)
        assert found is not None, name
        self.kind: Kind = found
        self.name = name
        about = _described()["kinds"][name]
        self.object_name: str = about.get("name", "k")
        self.minimal = self._complete(about["minimal"])
        self.full = self._complete(about.get("full", about["minimal"]))
        self.stored = self._complete(about.get("stored", about.get("full", about["minimal"])))
        self.values = _values(minor)
        self.setter = Setter(self.values, _described()["unions"])
        space = f"/namespaces/{NAMESPACE}" if found.namespaced else ""
        root = f"/apis/{api_version}" if group else f"/api/{api_version}"
        self.collection = f"{root}{space}/{plural}"
        self.single = f"{self.collection}/{self.object_name}"

    def _complete(self, obj: Object) -> Object:
        found: Object = copy.deepcopy(obj)
        named = {"name": self.object_name} if "get" in self.kind.verbs else {}
        meta = {**named, **(found.pop("metadata", None) or {})}
        return {"apiVersion": self.kind.api_version, "kind": self.kind.kind, "metadata": meta, **found}

    def plan(self) -> Plan:
        storable = "get" in self.kind.verbs
        changes = list(_unique([*self._updates(), *self._status(), *self._lists()])) if storable else []
        return Plan(
            self.name,
            self.collection,
            self.object_name,
            tuple(_unique(self._creations())),
            self.stored if storable else None,
            tuple(changes),
        )

    # --- creations ------------------------------------------------------------------------------------------------

    def _creations(self) -> Iterator[Case]:
        yield self._create("minimal", self.minimal)
        yield self._create("full", self.full)
        yield self._create("empty", {})
        yield self._create("text", "x")
        yield self._create("list", [])
        yield self._create("other kind", {**self.minimal, "kind": "Bogus"})
        yield self._create("other version", {**self.minimal, "apiVersion": "bogus/v9"})
        yield self._create("status", {**self.minimal, "status": {}})
        for label, meta in _METADATA:
            yield self._create(f"metadata {label}", {**self.minimal, "metadata": meta(self.minimal["metadata"])})
        for place in paths.places(self.kind.type, (), self._is_foreign):
            if place.path[0] == "metadata" and self.name not in _homes("ObjectMeta"):
                continue
            for label, value in self._variants(place):
                made = self.setter.set(self.kind.type, self.minimal, place.path, value)
                yield self._create(f"{paths.shown(place.path)}={label}", made)
        for path, value in paths.walk(self.full):
            if path[0] in ("apiVersion", "kind") or path == ("metadata", "name"):
                continue
            yield self._create(f"full without {paths.shown(path)}", paths.without(self.full, path))
            if isinstance(value, list) and value:
                twice = paths.replaced(self.full, path, [*value, value[0]])
                yield self._create(f"full {paths.shown(path)} twice", twice)
        yield from self._applied_creations()

    def _create(self, label: str, body: Any) -> Case:
        return Case(f"create {label}", "POST", f"{self.collection}?dryRun=All", _JSON, body)

    def _applied_creations(self) -> Iterator[Case]:
        if "patch" not in self.kind.verbs:
            return
        for label, obj in (("minimal", self.minimal), ("full", self.full)):
            yield Case(f"apply new {label}", "PATCH", self._apply(), _APPLY, obj)

    def _apply(self, force: bool = False, manager: str = "applier") -> str:
        return f"{self.single}?dryRun=All&fieldManager={manager}{'&force=true' if force else ''}"

    def _variants(self, place: Place) -> Iterator[tuple[str, Any]]:
        found = list(self.values.variants(place.struct, place.field))
        if place.sparse and len(found) > 2:
            chosen = zlib.crc32(f"{self.name} {paths.shown(place.path)}".encode()) % (len(found) - 1) + 1
            found = [found[0], found[chosen]]
        yield from found

    def _is_foreign(self, struct: StructType) -> bool:
        homes = _described()["homes"].get(struct.name)
        return homes is not None and self.name not in homes

    # --- updates --------------------------------------------------------------------------------------------------

    def _updates(self) -> Iterator[Case]:
        meta = self.stored["metadata"]
        yield self._put("unversioned", self.stored)
        yield self._put("versioned", {**self.stored, "metadata": {**meta, "resourceVersion": VERSION}})
        yield self._put("stale", {**self.stored, "metadata": {**meta, "resourceVersion": "1"}})
        yield self._put("minimal", {**self.minimal, "metadata": {**meta, "resourceVersion": VERSION}})
        yield self._put("other name", {**self.stored, "metadata": {**meta, "name": "other"}})
        yield self._put("empty", {})
        for label, change in _META_CHANGES:
            yield self._merge(label, {"metadata": change})
        for path, value in paths.walk(self.stored):
            if path[0] in ("apiVersion", "kind", "metadata"):
                continue
            if not isinstance(value, dict):
                yield self._change(f"changed {paths.shown(path)}", paths.replaced(self.stored, path, other(value)))
            yield self._change(f"removed {paths.shown(path)}", paths.without(self.stored, path))
        for place in self._outer_places():
            for label, value in list(self._variants(place))[:2]:
                made = self.setter.set(self.kind.type, self.stored, place.path, value)
                yield self._change(f"set {paths.shown(place.path)}={label}", made)

    def _outer_places(self) -> Iterator[Place]:
        """The fields of the object and of its spec."""
        for name, field in self.kind.type.fields.items():
            if name in ("apiVersion", "kind", "metadata", "status"):
                continue
            yield Place((name,), self.kind.type, field, False)
            if isinstance(field.type, StructType) and name in ("spec", "template"):
                for inner in field.type.fields.values():
                    yield Place((name, inner.name), field.type, inner, False)

    def _put(self, label: str, body: Any) -> Case:
        return Case(f"put {label}", "PUT", f"{self.single}?dryRun=All", _JSON, body)

    def _change(self, label: str, changed: Object) -> Case:
        return self._merge(label, paths.merge_patch(self.stored, changed))

    def _merge(self, label: str, patch: Any) -> Case:
        return Case(f"update {label}", "PATCH", f"{self.single}?dryRun=All", _MERGE, patch)

    def _status(self) -> Iterator[Case]:
        if "status" not in self.kind.subresources or "status" not in self.kind.type.fields:
            return
        struct = self.kind.type.fields["status"].type
        assert isinstance(struct, StructType)
        path = f"{self.single}/status?dryRun=All"
        for place in paths.places(struct, ("status",), self._is_foreign):
            for label, value in self._variants(place):
                patch = self.setter.set(self.kind.type, {"status": {}}, place.path, value)
                yield Case(f"status {paths.shown(place.path)}={label}", "PATCH", path, _MERGE, patch)
        beside = {"metadata": {"labels": {"set": "beside"}}, "spec": {}}
        yield Case("status beside", "PATCH", path, _MERGE, beside)

    # --- patches of lists -----------------------------------------------------------------------------------------

    def _lists(self) -> Iterator[Case]:
        yield from self._applied("whole", self.stored)
        yield from self._applied("minimal", self.minimal)
        for path, value in paths.walk(self.stored):
            if path[0] in ("apiVersion", "kind") or not isinstance(value, list) or not value:
                continue
            yield from self._list(path, value)

    def _list(self, path: Path, value: list[Any]) -> Iterator[Case]:
        at, pointer = paths.shown(path), "/" + "/".join(str(part) for part in path)
        new = _changed_item(value[0])
        operations = (
            ("append", {"op": "add", "path": f"{pointer}/-", "value": new}),
            ("insert", {"op": "add", "path": f"{pointer}/0", "value": new}),
            ("remove", {"op": "remove", "path": f"{pointer}/0"}),
            ("replace", {"op": "replace", "path": f"{pointer}/0", "value": new}),
            ("move", {"op": "move", "from": f"{pointer}/0", "path": f"{pointer}/-"}),
            ("test", {"op": "test", "path": f"{pointer}/0", "value": new}),
            ("beyond", {"op": "remove", "path": f"{pointer}/9"}),
        )
        for label, operation in operations:
            yield Case(f"json {label} {at}", "PATCH", f"{self.single}?dryRun=All", _JSON_PATCH, [operation])
        for label, patched in (("new", [new]), ("none", []), ("null", None), ("same", value)):
            yield self._strategic(f"{label} {at}", path, patched)
        name, key = str(path[-1]), self._merge_key(path)
        yield self._strategic(f"replace {at}", path, [new, {"$patch": "replace"}])
        if isinstance(value[0], dict):
            partly = {key: value[0][key]} if key in value[0] else {}
            yield self._strategic(f"partly {at}", path, [partly])
            yield self._strategic(f"delete {at}", path, [{**partly, "$patch": "delete"}])
            yield self._strategic(f"keyless {at}", path, [{"bogus": 1}])
            order = [{key: item.get(key)} for item in reversed(value)] if key else []
        else:
            yield self._strategic(f"delete {at}", (*path[:-1], f"$deleteFromPrimitiveList/{name}"), value[:1])
            order = list(reversed(value))
        yield self._strategic(f"order {at}", (*path[:-1], f"$setElementOrder/{name}"), order)
        yield from self._applied(f"new {at}", self._nested(path, [new]))
        yield from self._applied(f"same {at}", self._nested(path, value))

    def _strategic(self, label: str, path: Path, value: Any) -> Case:
        return Case(f"strategic {label}", "PATCH", f"{self.single}?dryRun=All", _STRATEGIC, self._nested(path, value))

    def _nested(self, path: Path, value: Any) -> Object:
        """A patch with `value` at `path`; lists on the way are named by their items' keys."""
        found: Any = value
        for index in range(len(path) - 1, -1, -1):
            part = path[index]
            if isinstance(part, int):
                item = paths.get(self.stored, path[: index + 1])
                key = self._merge_key(path[:index])
                found = [{**({key: item[key]} if key in item else {}), **found}]
            else:
                found = {part: found}
        return found  # type: ignore[no-any-return]

    def _merge_key(self, path: Path) -> str:
        """By what a list's items are told apart: the key of strategic merges, else the first of its map keys."""
        type: Any = self.kind.type
        key = ""
        for part in path:
            if isinstance(part, int):
                type = type.item
            elif isinstance(type, StructType):
                field = type.fields[part]
                type = field.type
                key = field.merge_key or (type.keys[0] if isinstance(type, ListType) and type.keys else "")
            elif isinstance(type, Leaf):
                return ""
            else:
                type = type.value
        return key

    def _applied(self, label: str, obj: Object) -> Iterator[Case]:
        head = {"apiVersion": self.kind.api_version, "kind": self.kind.kind, "metadata": {"name": self.object_name}}
        meta = {**head["metadata"], **(obj.get("metadata") or {})}
        body = {**head, **obj, "metadata": meta}
        yield Case(f"apply {label}", "PATCH", self._apply(), _APPLY, body)
        yield Case(f"apply forced {label}", "PATCH", self._apply(force=True), _APPLY, body)


def _homes(type: str) -> list[str]:
    return next(homes for name, homes in _described()["homes"].items() if name.endswith(f".{type}"))


def _unique(found: Any) -> Iterator[Case]:
    seen: set[str] = set()
    for case in found:
        if case.id not in seen:
            seen.add(case.id)
            yield case


def _changed_item(item: Any) -> Any:
    """Another item for a list: every text in it differs, so that its key does."""
    return other(copy.deepcopy(item))


def _named(name: Any) -> Any:
    return lambda meta: {**meta, "name": name}


_METADATA: tuple[tuple[str, Any], ...] = (
    ("none", lambda meta: {}),
    ("null", lambda meta: None),
    ("text", lambda meta: "x"),
    ("name empty", _named("")),
    ("name upper", _named("Upper")),
    ("name underscore", _named("a_b")),
    ("name dots", _named("a.b")),
    ("name dashes", _named("-a-")),
    ("name digit", _named("1a")),
    ("name slash", _named("a/b")),
    ("name percent", _named("a%b")),
    ("name colon", _named("a:b")),
    ("name dot", _named("..")),
    ("name 63", _named("n" * 63)),
    ("name 64", _named("n" * 64)),
    ("name 253", _named("n" * 253)),
    ("name 254", _named("n" * 254)),
    ("name number", _named(7)),
    ("namespace other", lambda meta: {**meta, "namespace": "other"}),
    ("label bad", lambda meta: {**meta, "labels": {"-Bad_/Na me": "bad value!"}}),
    ("annotation bad", lambda meta: {**meta, "annotations": {"-Bad_/Na me": "b"}}),
    ("resourceVersion", lambda meta: {**meta, "resourceVersion": "1"}),
    ("uid", lambda meta: {**meta, "uid": "u"}),
    ("finalizer bad", lambda meta: {**meta, "finalizers": ["a"]}),
)
_META_CHANGES: tuple[tuple[str, Any], ...] = (
    ("labels", {"labels": {"new": "label"}}),
    ("label bad", {"labels": {"-Bad_/Na me": "x"}}),
    ("annotations", {"annotations": {"new": "annotation"}}),
    ("uid", {"uid": "u"}),
    ("name", {"name": "other"}),
    ("finalizer", {"finalizers": ["a.example.com/b"]}),
    ("generation", {"generation": 99}),
    ("deletionTimestamp", {"deletionTimestamp": "2024-01-02T03:04:05Z"}),
    ("creationTimestamp", {"creationTimestamp": "2024-01-02T03:04:05Z"}),
)
