"""Canonical forms of OpenAPI documents, to compare them with recorded ones."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from typing import Any

import orjson

from kloster.apiserver.openapi.builtin import BuiltIn


def digest(document: Any) -> str:
    """Of the content, whatever its order."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def documents(built_in: BuiltIn) -> Iterator[tuple[str, Any]]:
    """All of a version: those of version 3, and the one of version 2 in parts."""
    for path in built_in.paths:
        yield path, orjson.loads(zlib.decompress(built_in.document(path), 31))
    yield from parts(orjson.loads(built_in.swagger.text))


def parts(swagger: Any) -> Iterator[tuple[str, Any]]:
    """A document of version 2 without what custom resources put into it."""
    own = {"paths": swagger.pop("paths"), "definitions": swagger.pop("definitions")}
    yield "v2", swagger
    paths = {path: item for path, item in own["paths"].items() if ".example" not in path}
    yield "v2 paths", paths
    yield "v2 definitions", {key: value for key, value in own["definitions"].items() if key.startswith("io.k8s.")}


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
