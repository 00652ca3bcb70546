"""From a CustomResourceDefinition to what a cluster serves on its behalf.

A definition brings one `Served` for each served version. They share the storage version's kind; a version's own schema
prunes, defaults and validates what goes in and out through it, and with conversion strategy None that is all there is
to conversion. What comes out depends on nothing but the definition, so clusters with the same definition share it: the
builder remembers what it made by content.

The stamp of a definition is a hash of its schemas. Stored bytes with another stamp (an earlier schema, another storage
version) are pruned and defaulted anew when they are read.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.rules.definitions import loops
from kloster.apimachinery.schema.build import META
from kloster.apimachinery.structural import values
from kloster.apimachinery.versions import version_priority
from kloster.apiserver.customresources.conversion import Conversion
from kloster.apiserver.customresources.link import Builder
from kloster.apiserver.customresources.versions import Version
from kloster.apiserver.resources import ScalePaths, Served
from kloster.kinds import conditions
from kloster.kinds.catalog import Catalog, Kind, Subresource

# Definitions whose kinds are remembered, per Kubernetes version. A cluster holds on to what it serves by itself.
_REMEMBERED = 512
_MANY = 32
"""Alternatives in a schema (anyOf, oneOf, allOf) with which checking even small objects is long work."""
_VERBS = frozenset({"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"})
_SUBRESOURCE_VERBS = ("get", "patch", "update")


@lru_cache(maxsize=16)
def builder(catalog: Catalog) -> Builder:
    """The one builder of a Kubernetes version."""
    return _Builder(catalog)


class _Builder:
    def __init__(self, catalog: Catalog) -> None:
        object_meta = catalog.struct(f"{META}.ObjectMeta")
        assert object_meta is not None
        self._object_meta = object_meta
        self._minor = int(catalog.minor.partition(".")[2])
        self._known: OrderedDict[bytes, tuple[Served, ...]] = OrderedDict()

    def __call__(self, definition: Object) -> Sequence[Served]:
        """What the definition brings: nothing before it is established."""
        status = definition.get("status") or {}
        if not conditions.is_true(status.get("conditions"), "Established"):
            return ()
        terminating = conditions.is_true(status.get("conditions"), "Terminating")
        key = _digest((definition["spec"], status.get("acceptedNames"), terminating, _owner(definition)))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _build(definition, terminating, self._versions(definition["spec"]))
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found

    def _versions(self, spec: Object) -> dict[str, Version]:
        made = {one["name"]: Version(spec, one, self._object_meta, self._minor) for one in spec["versions"]}
        if (spec.get("conversion") or {}).get("strategy") == "Webhook":
            shared = Conversion(spec)
            for version in made.values():
                version.conversion = shared
        return made


def _owner(definition: Object) -> str:
    """Whose a definition is, if that matters: what a webhook has answered one cluster is none of another's business,
    and behind the same Service there may be another webhook there."""
    webhook = (definition["spec"].get("conversion") or {}).get("strategy") == "Webhook"
    return str(definition["metadata"].get("uid")) if webhook else ""


def _digest(value: object) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def stamp(spec: Object) -> str:
    """The storage version and a hash of the schemas and of what is kept beside objects for selectors."""
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    schemas = [
        (version["name"], version.get("schema"), version.get("selectableFields")) for version in spec["versions"]
    ]
    text = base64.urlsafe_b64encode(_digest(schemas)[:9]).decode()
    return f"{storage}@{text}"


def _build(definition: Object, terminating: bool, versions: dict[str, Version]) -> tuple[Served, ...]:
    spec = definition["spec"]
    storage = next(version for version in versions.values() if version.storage)
    kinds = {name: _kind(definition, version, storage, versions) for name, version in versions.items()}
    mark = stamp(spec)
    served = []
    for name, version in versions.items():
        if not version.served:
            continue
        found = Served(kinds[name], kinds[storage.name], mark, version.scale or ScalePaths())
        found.strategy = kinds[name].strategy
        found.seal = storage.seal
        found.terminating = terminating
        found.wide = any(values.alternatives(one.get("schema")) > _MANY for one in spec["versions"])
        found.loops = max(loops((one.get("schema") or {}).get("openAPIV3Schema") or {}) for one in spec["versions"])
        found.asks = version.conversion is not None and not found.direct
        if version.deprecated:
            found.deprecation = version.deprecation or _deprecation(spec, version.name)
        served.append(found)
    served.sort(key=lambda one: not one.direct)  # whoever asks for the stored form finds it first
    return tuple(served)


def _deprecation(spec: Object, name: str) -> str:
    """What upstream says of a deprecated version that has no words of its own."""
    group, kind = spec["group"], spec["names"]["kind"]
    better = [
        version["name"]
        for version in spec["versions"]
        if version.get("served")
        and not version.get("deprecated")
        and version_priority(version["name"]) > version_priority(name)
    ]
    text = f"{group}/{name} {kind} is deprecated"
    return f"{text}; use {group}/{max(better, key=version_priority)} {kind}" if better else text


def _kind(definition: Object, version: Version, storage: Version, versions: dict[str, Version]) -> Kind:
    spec = definition["spec"]
    accepted = (definition.get("status") or {}).get("acceptedNames") or spec["names"]
    group, plural, kind = spec["group"], spec["names"]["plural"], accepted.get("kind") or spec["names"]["kind"]
    return Kind(
        group=group,
        version=version.name,
        plural=plural,
        singular=accepted.get("singular") or "",
        kind=kind,
        namespaced=spec.get("scope") == "Namespaced",
        verbs=_VERBS,
        short_names=tuple(accepted.get("shortNames") or ()),
        categories=tuple(accepted.get("categories") or ()),
        subresources=_subresources(version, kind),
        storage_id=f"{group}/{plural}",
        storage_version=f"{group}/{storage.name}",
        storage_hash=_storage_hash(group, storage.name, kind),
        type=version.type,
        strategy=version.strategy(storage, versions),
        columns=version.columns,
        selectable=("metadata.name", "metadata.namespace", *version.selectable),
        builtin=False,
    )


def _subresources(version: Version, kind: str) -> dict[str, Subresource]:
    found = {}
    if version.has_status:
        found["status"] = Subresource("status", kind, _SUBRESOURCE_VERBS)
    if version.scale is not None:
        found["scale"] = Subresource("scale", "Scale", _SUBRESOURCE_VERBS, "autoscaling", "v1")
    return found


def _storage_hash(group: str, version: str, kind: str) -> str:
    """discovery's storageVersionHash."""
    digest = hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()
