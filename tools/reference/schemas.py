"""OpenAPI facts about upstream's types, from the kubernetes-validate package.

The package rewrites upstream's definitions for use with plain JSON schema validators. Undone here: ``"null"`` in
types is ignored, the ``oneOf`` of Quantity and IntOrString never looked at (Go's types say better), the enums that it
puts on apiVersion and kind dropped.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

Definition = dict[str, Any]


def definitions(minor: str) -> dict[str, Definition]:
    """Definition name (``io.k8s.api.core.v1.Pod``) → definition."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{minor}.0-local"
    return dict(json.loads((folder / "_definitions.json").read_bytes())["$defs"])


def definition_name(go_type: str) -> str:
    """``api/core/v1.Pod`` → ``io.k8s.api.core.v1.Pod``."""
    return "io.k8s." + go_type.replace("/", ".")


def struct_extras(definition: Definition) -> dict[str, Any]:
    """What holds for a struct as a whole: ``a`` owned as a whole, ``u`` unions, ``g`` kinds that it is."""
    extras: dict[str, Any] = {}
    if definition.get("x-kubernetes-map-type") == "atomic":
        extras["a"] = 1
    if definition.get("x-kubernetes-unions"):
        extras["u"] = definition["x-kubernetes-unions"]
    if definition.get("x-kubernetes-group-version-kind"):
        extras["g"] = [
            [gvk["group"], gvk["version"], gvk["kind"]] for gvk in definition["x-kubernetes-group-version-kind"]
        ]
    return extras


def field_extras(definition: Definition, name: str) -> dict[str, Any]:
    """What holds for one field of a struct, under one-letter keys (see `kloster.kinds.loading`)."""
    schema = definition.get("properties", {}).get(name)
    if schema is None:
        return {}
    extras: dict[str, Any] = {}
    if name in definition.get("required", ()):
        extras["r"] = 1
    for letter, extension in (
        ("l", "x-kubernetes-list-type"),
        ("k", "x-kubernetes-list-map-keys"),
        ("m", "x-kubernetes-patch-merge-key"),
    ):
        if extension in schema:
            extras[letter] = schema[extension]
    if "x-kubernetes-patch-strategy" in schema:
        extras["s"] = schema["x-kubernetes-patch-strategy"].split(",")
    if "x-kubernetes-map-type" in schema:
        extras["t"] = schema["x-kubernetes-map-type"]
    if "default" in schema:
        extras["d"] = schema["default"]
    return extras


def descriptions(definition: Definition) -> list[Any]:
    """[the type's text, {field: text}], as upstream publishes them."""
    fields = {
        name: schema["description"]
        for name, schema in definition.get("properties", {}).items()
        if schema.get("description")
    }
    return [definition.get("description", ""), fields]
