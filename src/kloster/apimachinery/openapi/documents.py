"""Documents of version 3: one for each group and version, one for each group, a few for what is no resource.

A document holds its paths and every definition that these reach. `Library` is where definitions come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kloster.apimachinery.openapi import operations
from kloster.apimachinery.openapi.definitions import LEAVES, Form, Schema, definition, name_of, reference, references
from kloster.apimachinery.openapi.operations import JSON, PROTOBUF, YAML, Paths, Resource
from kloster.apimachinery.schema.build import META, Source

Descriptions = Mapping[str, tuple[str, Mapping[str, str]]]
Document = dict[str, Any]

_SECURITY = {
    "BearerToken": {
        "type": "apiKey",
        "description": "Bearer Token authentication",
        "name": "authorization",
        "in": "header",
    }
}


class Library:
    """Definitions by name, made as they are asked for. `extra` are definitions that come from elsewhere.

    `elements`: elements of lists and maps have defaults.
    """

    def __init__(
        self,
        form: Form,
        source: Source,
        descriptions: Descriptions,
        names: Iterable[str],
        extra: Mapping[str, Schema] | None = None,
        elements: bool = True,
    ) -> None:
        self._form = form
        self._source = source
        self._descriptions = descriptions
        self._types = {name_of(name): name for name in (*names, *LEAVES)}
        self._extra = extra or {}
        self._elements = elements

    def definition(self, name: str) -> Schema:
        """The definition that a reference names."""
        found = self._extra.get(name)
        if found is not None:
            return found
        go_type = self._types[name]
        text, fields = self._descriptions.get(go_type, ("", {}))
        return definition(self._form, go_type, self._source(go_type), text, fields, self._elements)

    def reached(self, start: Any) -> dict[str, Schema]:
        """All definitions that `start` refers to, directly or not, sorted."""
        found: dict[str, Schema] = {}
        waiting = list(references(start))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.definition(name)
                waiting.extend(references(found[name]))
        return dict(sorted(found.items()))


def document(library: Library, title: str, version: str, paths: Paths, secured: bool = True) -> Document:
    components: dict[str, Any] = {}
    schemas = library.reached(paths)
    if schemas:
        components["schemas"] = schemas
    if secured:
        components["securitySchemes"] = _SECURITY
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": components,
    }


def group_version(resources: Iterable[Resource], group: str, version: str) -> Paths:
    """The paths of a built-in group version."""
    base = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    name = operations.identifier(group) + version[:1].upper() + version[1:]
    found = {
        base: _read(
            operations.tag(group, version), "get available resources", f"get{name}APIResources", "APIResourceList"
        )
    }
    for resource in resources:
        found |= operations.paths(resource)
    return dict(sorted(found.items()))


def group_paths(group: str) -> Paths:
    """The path of a group."""
    name = operations.identifier(group)
    read = _read(operations.tag(group), "get information of a group", f"get{name}APIGroup", "APIGroup")
    return {f"/apis/{group}/": read}


def root_paths(path: str) -> Paths:
    """The paths of documents about something else than groups; empty if there is no such document."""
    if path == "api":
        return {"/api/": _read("core", "get available API versions", "getCoreAPIVersions", "APIVersions")}
    if path == "apis":
        return {"/apis/": _read("apis", "get available API versions", "getAPIVersions", "APIGroupList")}
    known = _OTHERS.get(path)
    if known is None:
        return {}
    tag, text, id, media, schema = known
    return {f"/{path}/": {"get": _operation(tag, text, id, {media: {"schema": schema}})}}


_OTHERS: dict[str, tuple[str, str, str, str, Schema]] = {
    "version": (
        "version",
        "get the version information for this server",
        "getCodeVersion",
        JSON,
        reference(Form.V3, "apimachinery/pkg/version.Info"),
    ),
    ".well-known/openid-configuration": (
        "WellKnown",
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        "getServiceAccountIssuerOpenIDConfiguration",
        JSON,
        {"type": "string"},
    ),
    "openid/v1/jwks": (
        "openid",
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        "getServiceAccountIssuerOpenIDKeyset",
        "application/jwk-set+json",
        {"type": "string"},
    ),
}


def _read(tag: str, text: str, id: str, kind: str) -> dict[str, Any]:
    schema = reference(Form.V3, f"{META}.{kind}")
    return {"get": _operation(tag, text, id, {name: {"schema": schema} for name in (JSON, PROTOBUF, YAML)})}


def _operation(tag: str, text: str, id: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": [tag],
        "description": text,
        "operationId": id,
        "responses": {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}},
    }
