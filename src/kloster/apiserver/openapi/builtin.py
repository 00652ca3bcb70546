"""A version's documents. They depend on nothing but the catalog, so one `BuiltIn` serves all its clusters.

Each document is made when somebody asks for it and kept as compressed bytes, about a tenth of its size; what it was
made from is dropped. Its hash is that of the data, so that the index needs no document.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from isal import igzip

from kloster import __version__
from kloster.apimachinery.openapi import binary, documents
from kloster.apimachinery.openapi.definitions import Form, Schema, reference
from kloster.apimachinery.openapi.documents import Descriptions, Library
from kloster.apimachinery.openapi.operations import Paths, Resource, Subresource
from kloster.apimachinery.openapi.swagger import SECURITY, Swagger
from kloster.kinds import catalog as catalogs
from kloster.kinds.catalog import Catalog, Kind

_TITLE = "Kubernetes"
_CONNECTED = {
    "attach": ("GET", "POST"),
    "exec": ("GET", "POST"),
    "portforward": ("GET", "POST"),
    "proxy": ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"),
}


class BuiltIn:
    """The documents of one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._made: dict[str, bytes] = {}
        self._swagger: Swagger2 | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Of which there are documents of version 3, sorted."""
        return tuple(self.catalog.openapi_paths)

    def hash(self, path: str) -> str:
        """128 hexadecimal digits that change with the document."""
        seed = f"{__version__}/{self.catalog.minor}/{self.catalog.digest}/{path}"
        return hashlib.sha512(seed.encode()).hexdigest().upper()

    def document(self, path: str) -> bytes:
        """The document of version 3 at ``/openapi/v3/PATH``, compressed. Raises KeyError if there is none."""
        found = self._made.get(path)
        if found is None:
            if path not in self.paths:
                raise KeyError(path)
            found = self._made[path] = compress(self._document(path))
        return found

    def _document(self, path: str) -> bytes:
        descriptions = self.catalog.descriptions()
        paths = documents.root_paths(path) or self._paths(path, descriptions)
        made = documents.document(self.library(Form.V3, descriptions), _TITLE, self.catalog.minor, paths)
        return orjson.dumps(made)

    def _paths(self, path: str, descriptions: Descriptions) -> Paths:
        root, _, rest = path.partition("/")
        group, _, version = rest.partition("/") if root == "apis" else ("", "", rest)
        if not version:
            return documents.group_paths(group)
        return documents.group_version(self.resources(group, version, descriptions), group, version)

    @property
    def swagger(self) -> Swagger2:
        """The document of version 2."""
        if self._swagger is None:
            self._swagger = self._make_swagger()
        return self._swagger

    @property
    def is_made(self) -> bool:
        """Whether the document of version 2 is there; making it takes a second."""
        return self._swagger is not None

    def has(self, path: str) -> bool:
        """Whether a document of version 3 is there already."""
        return path in self._made

    def _make_swagger(self) -> Swagger2:
        descriptions = self.catalog.descriptions()
        made = Swagger()
        for path in self.paths:
            made.add(documents.root_paths(path) or self._paths(path, descriptions))
        schemas = self.library(Form.V2, descriptions).reached([made.paths, made.parameters])
        return Swagger2.of(self.catalog.minor, made, schemas)

    def library(self, form: Form, descriptions: Descriptions, extra: Mapping[str, Schema] | None = None) -> Library:
        """Definitions, with those that come from elsewhere."""
        known = self.catalog
        return Library(form, known.described, descriptions, known.type_names, extra, known.openapi_elements)

    def resources(self, group: str, version: str, descriptions: Descriptions) -> Iterator[Resource]:
        known = parameters(descriptions)
        for kind in self.catalog.kinds.values():
            if (kind.group, kind.version) == (group, version):
                yield self._resource(kind, known)

    def _resource(self, kind: Kind, known: Mapping[str, str]) -> Resource:
        types = self.catalog.api_types
        own = types[f"{kind.api_version}/{kind.kind}"]
        listed = types.get(f"{kind.api_version}/{kind.kind}List", own)
        return Resource(
            group=kind.group,
            version=kind.version,
            plural=kind.plural,
            kind=kind.kind,
            namespaced=kind.namespaced,
            verbs=kind.verbs,
            type=reference(Form.V3, own),
            list_type=reference(Form.V3, listed),
            subresources=[self._subresource(kind, sub) for sub in kind.subresources.values()],
            # A namespace is answered with itself, too, but upstream does not publish that.
            returns_deleted=kind.plural != "namespaces" and kind.strategy.returns_deleted,
            parameters=known,
        )

    def _subresource(self, kind: Kind, sub: catalogs.Subresource) -> Subresource:
        group, version = (sub.group, sub.version) if sub.version else (kind.group, kind.version)
        methods = _CONNECTED.get(sub.name, ())
        name = f"{group}/{version}/{sub.kind}".lstrip("/")
        return Subresource(
            name=sub.name,
            kind=(group, version, sub.kind),
            verbs=frozenset(sub.verbs),
            type="" if methods or sub.name == "log" else self.catalog.api_types[name],
            methods=methods,
        )


@dataclass(frozen=True, slots=True)
class Swagger2:
    """A document of version 2, compressed.

    ends     where paths, definitions and parameters end in it
    encoded  the same three in protobuf, each compressed
    """

    minor: str
    compressed: bytes
    ends: tuple[int, ...]
    encoded: tuple[bytes, ...]

    @classmethod
    def of(cls, minor: str, made: Swagger, schemas: Mapping[str, Schema]) -> Swagger2:
        paths, shared = dict(sorted(made.paths.items())), dict(sorted(made.parameters.items()))
        text = orjson.dumps({"swagger": "2.0", "info": _info(minor)})[:-1]
        ends = []
        for name, content in (("paths", paths), ("definitions", schemas), ("parameters", shared)):
            text += b',"%b":%b' % (name.encode(), orjson.dumps(content))
            ends.append(len(text) - 1)
        text += b"," + orjson.dumps(SECURITY)[1:]
        binary = _binary(paths, schemas, shared)
        return cls(
            minor,
            compress(text),
            (ends[0], ends[1], ends[2]),
            (compress(binary[0]), compress(binary[1]), compress(binary[2])),
        )

    @property
    def text(self) -> bytes:
        return zlib.decompress(self.compressed, 31)

    def with_custom(self, made: Swagger, schemas: Mapping[str, Schema]) -> bytes:
        """The document with what custom resources add."""
        text = self.text
        pieces, begin = [], 0
        for end, content in zip(self.ends, (made.paths, schemas, self._fresh(made)), strict=True):
            pieces.append(text[begin:end])
            if content:
                pieces.append(b"," + orjson.dumps(content)[1:-1])
            begin = end
        return b"".join((*pieces, text[begin:]))

    def protobuf(self, made: Swagger | None = None, schemas: Mapping[str, Schema] | None = None) -> bytes:
        """The document in protobuf, with what custom resources add."""
        added = made or Swagger()
        more = _binary(added.paths, schemas or {}, self._fresh(added))
        parts = [zlib.decompress(part, 31) + extra for part, extra in zip(self.encoded, more, strict=True)]
        return binary.document(_info(self.minor), parts[0], parts[1], parts[2], SECURITY)

    def _fresh(self, made: Swagger) -> dict[str, Any]:
        """Shared parameters that are not there yet."""
        text = self.text if made.parameters else b""
        return {key: value for key, value in made.parameters.items() if b'"%b":' % key.encode() not in text}


def _info(minor: str) -> dict[str, str]:
    return {"title": _TITLE, "version": minor}


def _binary(
    paths: Mapping[str, Any], schemas: Mapping[str, Schema], parameters: Mapping[str, Any]
) -> tuple[bytes, bytes, bytes]:
    return binary.paths(paths), binary.definitions(schemas), binary.parameters(parameters)


def parameters(descriptions: Descriptions) -> Mapping[str, str]:
    """The query parameters that are described."""
    return descriptions.get("parameters", ("", {}))[1]


def compress(document: bytes) -> bytes:
    compressed: bytes = igzip.compress(document, 3, mtime=0)
    return compressed


@lru_cache(maxsize=16)
def built_in(catalog: Catalog) -> BuiltIn:
    """The one `BuiltIn` of a catalog."""
    return BuiltIn(catalog)
