"""The documents of a cluster's custom resources.

A group version's document is made when somebody asks for it, and kept, compressed, among a bounded number of others:
clusters with the same definitions share it. Its hash comes from the definitions' content and is remembered with the
kind's type, which the builder of custom resources shares as well. Nothing happens when a definition is written.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.openapi import custom, documents, operations
from kloster.apimachinery.openapi.definitions import Form, Schema, name_of
from kloster.apimachinery.openapi.documents import Descriptions
from kloster.apimachinery.openapi.operations import Paths, Resource, Subresource
from kloster.apimachinery.schema.build import META
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.customresources.link import DEFINITIONS
from kloster.apiserver.openapi.builtin import BuiltIn, compress, parameters
from kloster.apiserver.resources import Served

_TITLE, _VERSION = "Kubernetes CRD Swagger", "v0.1.0"
_REMEMBERED = 128
_HASH = "openapi-hash"
_OPTIONS = name_of(f"{META}.DeleteOptions")
_SCALE = "api/autoscaling/v1.Scale"


class Part:
    """A custom resource in one version. The definition that brought it is decoded when somebody looks into it."""

    __slots__ = ("_cluster", "_definition", "_name", "served")

    def __init__(self, cluster: ServedCluster, name: str, served: Served) -> None:
        self._cluster = cluster
        self._name = name
        self._definition: Object | None = None
        self.served = served

    @property
    def definition(self) -> Object:
        """First asked for in the event loop: the cluster's caches belong to it."""
        if self._definition is None:
            self._definition = self._cluster.view.get(DEFINITIONS, "", self._name)
            assert self._definition is not None, "what is served has a definition"
        return self._definition

    @property
    def hash(self) -> str:
        """Of everything that is published about it."""
        compiled = self.served.kind.type.compiled
        found: str | None = compiled.get(_HASH)
        if found is None:
            kind = self.served.kind
            names = (kind.group, kind.version, kind.plural, kind.kind, kind.namespaced, sorted(kind.subresources))
            text = orjson.dumps((names, self._version()), option=orjson.OPT_SORT_KEYS)
            found = compiled[_HASH] = hashlib.sha512(text).hexdigest()
        return found

    def _version(self) -> Object:
        versions: Sequence[Object] = self.definition["spec"]["versions"]
        return next(each for each in versions if each["name"] == self.served.version)

    def definitions(self, form: Form, texts: Mapping[str, str]) -> dict[str, Schema]:
        kind, version = self.served.kind, self._version()
        names = custom.Names(kind.group, kind.version, kind.plural, kind.kind, self.served.list_kind)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        lenient = bool(self.definition["spec"].get("preserveUnknownFields"))
        found = custom.definitions(form, names, schema, texts, lenient)
        paths = [field["jsonPath"] for field in version.get("selectableFields") or ()]
        if paths:
            custom.selectable(found, paths)
        return found

    def resource(self, known: Mapping[str, str]) -> Resource:
        kind = self.served.kind

        def refer(name: str) -> dict[str, str]:
            return {"$ref": Form.V3.value + custom.name_of(kind.group, kind.version, name)}

        return Resource(
            group=kind.group,
            version=kind.version,
            plural=kind.plural,
            kind=kind.kind,
            namespaced=kind.namespaced,
            verbs=kind.verbs,
            type=refer(kind.kind),
            list_type=refer(self.served.list_kind),
            subresources=[
                Subresource(
                    name=name,
                    kind=(kind.group, kind.version, kind.kind),
                    verbs=frozenset(sub.verbs),
                    type=_SCALE if name == "scale" else "",
                )
                for name, sub in kind.subresources.items()
            ],
            custom=True,
            parameters=known,
        )


def parts(cluster: ServedCluster) -> dict[str, list[Part]]:
    """What a cluster's definitions bring, by path of the document: ``apis/stable.example.com/v1``."""
    found: dict[str, list[Part]] = {}
    for name, brought in cluster.resources.custom.items():
        for served in brought:
            found.setdefault(f"apis/{served.group}/{served.version}", []).append(Part(cluster, name, served))
    return found


def hash_of(built_in: BuiltIn, shown: Sequence[Part]) -> str:
    """Of a document with these parts."""
    seed = "/".join((built_in.hash("custom"), *(part.hash for part in shown)))
    return hashlib.sha512(seed.encode()).hexdigest().upper()


def look_into(shown: Sequence[Part]) -> None:
    """Decode the definitions, so that a thread may go on with them."""
    for part in shown:
        _ = part.definition


class Remembered:
    """Documents by hash, the latest that somebody asked for."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, bytes] = OrderedDict()

    def document(self, built_in: BuiltIn, shown: Sequence[Part]) -> bytes:
        """The document of version 3 with these parts, compressed."""
        key = hash_of(built_in, shown)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = compress(orjson.dumps(_document(built_in, shown)))
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(key)
        return found


def _document(built_in: BuiltIn, shown: Sequence[Part]) -> documents.Document:
    descriptions = built_in.catalog.descriptions()
    paths, schemas = collected(Form.V3, shown, descriptions)
    library = built_in.library(Form.V3, descriptions, schemas)
    made = documents.document(library, _TITLE, _VERSION, paths, secured=False)
    known = made["components"]["schemas"]
    known[_OPTIONS] = custom.narrowed(known[_OPTIONS])
    return made


def collected(form: Form, shown: Sequence[Part], descriptions: Descriptions) -> tuple[Paths, dict[str, Schema]]:
    """The paths (as version 3 has them) and the definitions of parts."""
    texts = descriptions.get(f"{META}.Status", ("", {}))[1]
    known = parameters(descriptions)
    paths: Paths = {}
    schemas: dict[str, Schema] = {}
    for part in shown:
        paths |= operations.paths(part.resource(known))
        schemas |= part.definitions(form, texts)
    return dict(sorted(paths.items())), schemas
