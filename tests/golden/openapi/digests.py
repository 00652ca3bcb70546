"""Canonical forms of OpenAPI documents, to compare them with recorded ones."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson
import yaml

from kloster.apimachinery.protobuf import wire
from kloster.apiserver.openapi.builtin import BuiltIn


def digest(document: Any) -> str:
    """Of the content, whatever its order."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def documents(built_in: BuiltIn) -> Iterator[tuple[str, Any]]:
    """All of a version: those of version 3, and the one of version 2 in parts."""
    for path in built_in.paths:
        yield path, orjson.loads(zlib.decompress(built_in.document(path), 31))
    yield from parts(orjson.loads(built_in.swagger.text))
    yield "v2 protobuf", binary(built_in.swagger.protobuf())


def parts(swagger: Any) -> Iterator[tuple[str, Any]]:
    """A document of version 2 without what custom resources put into it."""
    own = {"paths": swagger.pop("paths"), "definitions": swagger.pop("definitions")}
    yield "v2", swagger
    paths = {path: item for path, item in own["paths"].items() if ".example" not in path}
    yield "v2 paths", paths
    yield "v2 definitions", {key: value for key, value in own["definitions"].items() if key.startswith("io.k8s.")}


# Messages within messages of openapi.v2 (gnostic's OpenAPIv2.proto): message → number → message of the field.
_MESSAGES: dict[str, dict[int, str]] = {
    "Document": {2: "", 8: "Paths", 9: "Schemas", 10: "Parameters", 12: "Requirement", 13: "Securities"},
    "Paths": {2: "NamedPath"},
    "NamedPath": {2: "Path"},
    "Path": {**dict.fromkeys(range(2, 9), "Operation"), 9: "ParameterItem"},
    "Operation": {8: "ParameterItem", 9: "Responses", 13: "NamedAny"},
    "Responses": {1: "NamedResponse"},
    "NamedResponse": {2: "ResponseValue"},
    "ResponseValue": {1: "Response", 2: ""},
    "Response": {2: "SchemaItem"},
    "SchemaItem": {1: "Schema"},
    "ParameterItem": {1: "Parameter", 2: ""},
    "Parameters": {1: "NamedParameter"},
    "NamedParameter": {2: "Parameter"},
    "Parameter": {1: "Body", 2: "NonBody"},
    "Body": {5: "Schema"},
    "NonBody": {3: "", 4: ""},
    "Schemas": {1: "NamedSchema"},
    "NamedSchema": {2: "Schema"},
    "Schema": {20: "Any", 21: "Additional", 22: "", 23: "SchemaItem", 25: "Schemas", 31: "NamedAny"},
    "Additional": {1: "Schema"},
    "NamedAny": {2: "Any"},
    "Requirement": {1: ""},
    "Securities": {1: "NamedSecurity"},
    "NamedSecurity": {2: "Security"},
    "Security": {2: ""},
}


def binary(data: bytes) -> Any:
    """A document of version 2 in protobuf, without what custom resources put into it, in canonical form."""
    found = _read("Document", data)
    keep = {8: lambda name: ".example" not in name, 9: lambda name: name.startswith("io.k8s.")}
    for number, wanted in keep.items():
        for entries in found[number]:
            for key, items in entries.items():
                entries[key] = sorted((item for item in items if wanted(item[1][0])), key=lambda item: item[1][0])
    return found


def _read(message: str, data: bytes) -> Any:
    """number → values; texts that are YAML as what they mean."""
    found: dict[int, Any] = {}
    at, nested = 0, _MESSAGES.get(message, {})
    while at < len(data):
        number, type, at = wire.read_tag(data, at, len(data), message)
        value: Any
        if type == wire.VARINT:
            value, at = wire.read_varint(data, at, len(data))
        elif type == wire.FIXED64:
            value, at = data[at : at + 8].hex(), at + 8
        else:
            begin, at = wire.read_span(data, at, len(data))
            part = data[begin:at]
            if message == "Any":
                value = _meaning(part.decode())
            else:
                value = _read(nested[number], part) if number in nested else part.decode()
        found.setdefault(number, []).append(value)
    if message in ("Operation", "Schema"):
        extensions = found.get(13 if message == "Operation" else 31)
        if extensions:
            extensions.sort(key=lambda item: item[1][0])
    return dict(sorted(found.items()))


@cache
def _meaning(text: str) -> str:
    return json.dumps(yaml.load(text, yaml.CSafeLoader), sort_keys=True)


def custom(documents: dict[str, Any], swagger: Any, group: str) -> Any:
    """What documents say about the custom resources of a group."""
    prefix = ".".join(reversed(group.split("."))) + "."

    def own(schemas: dict[str, Any]) -> dict[str, Any]:
        return {name: schema for name, schema in schemas.items() if name.startswith(prefix)}

    paths = {path: item for path, item in swagger["paths"].items() if f"/{group}/" in path}
    return {
        path: {"digest": digest(document), "schemas": own(document["components"]["schemas"])}
        for path, document in documents.items()
    } | {"v2": {"digest": digest(paths), "schemas": own(swagger["definitions"])}}
