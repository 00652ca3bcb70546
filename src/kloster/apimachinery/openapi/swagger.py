"""Version 2, Swagger: everything in one document, made from the operations of version 3.

Parameters that many operations have alike stand once, under a name with a hash of their text. Clients of old look at
``dryRun`` and ``fieldValidation`` in place, so these are not shared, nor is what names a kind.
Source: https://swagger.io/specification/v2/
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from kloster.apimachinery.openapi.definitions import Form
from kloster.apimachinery.openapi.operations import JSON, PROTOBUF, YAML, Paths
from kloster.apimachinery.schema import encode

_ANY = "*/*"
_ORDER = (
    "text/plain",
    JSON,
    YAML,
    PROTOBUF,
    f"{JSON};stream=watch",
    f"{PROTOBUF};stream=watch",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_GENERIC = Form.V2.value + "io.k8s.apimachinery"
_IN_PLACE = frozenset({"name", "fieldValidation", "dryRun"})
SECURITY: Mapping[str, Any] = {
    "securityDefinitions": {
        "BearerToken": {
            "description": "Bearer Token authentication",
            "type": "apiKey",
            "name": "authorization",
            "in": "header",
        }
    },
    "security": [{"BearerToken": []}],
}


class Swagger:
    """Collects paths and the parameters that they share."""

    def __init__(self) -> None:
        self.paths: Paths = {}
        self.parameters: dict[str, dict[str, Any]] = {}

    def add(self, paths: Paths, custom: bool = False) -> None:
        """Add paths of version 3."""
        for path, methods in paths.items():
            found: dict[str, Any] = {}
            for name, value in methods.items():
                if name == "parameters":
                    found[name] = [self._shared(_parameter(item)) for item in value]
                else:
                    found[name] = self._operation(value, custom)
            self.paths[path] = found

    def _operation(self, operation: dict[str, Any], custom: bool) -> dict[str, Any]:
        content = operation["responses"]["200"]["content"]
        body = operation.get("requestBody")
        parameters = [_parameter(item) for item in operation.get("parameters", ())]
        if body:
            parameters.append(_body(body))
        found: dict[str, Any] = {"description": operation["description"]}
        consumes = _consumes(operation, custom)
        if consumes:
            found["consumes"] = consumes
        found |= {
            "produces": _ordered(content),
            "schemes": ["https"],
            "tags": operation["tags"],
            "operationId": operation["operationId"],
        }
        if parameters:
            parameters.sort(key=lambda item: (item["name"], item["in"]))
            found["parameters"] = [self._shared(item) for item in parameters]
        found["responses"] = {code: _response(answer) for code, answer in operation["responses"].items()}
        return found | {key: value for key, value in operation.items() if key.startswith("x-")}

    def _shared(self, parameter: dict[str, Any]) -> dict[str, Any]:
        """A reference to the parameter, where it is one that is shared."""
        name = parameter["name"]
        if parameter["in"] == "body":
            if not parameter["schema"].get("$ref", "").startswith(_GENERIC):
                return parameter
        elif name in _IN_PLACE:
            return parameter
        key = f"{name}-{_hash(encode.text(parameter))}"
        self.parameters[key] = parameter
        return {"$ref": f"#/parameters/{key}"}


def _hash(text: bytes) -> str:
    """FNV-1 of 64 bits, the first 48 of them in eight characters."""
    value = 0xCBF29CE484222325
    for byte in text:
        value = (value * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF) ^ byte
    return base64.urlsafe_b64encode(value.to_bytes(8, "big")[:6]).decode()


def _consumes(operation: dict[str, Any], custom: bool) -> list[str]:
    body = operation.get("requestBody")
    if body:
        return _ordered(body["content"])
    if "x-kubernetes-action" in operation:
        return [JSON, YAML] if custom else [_ANY]
    # What is no resource takes what it gives, except for the keys, which take nothing.
    answer = operation["responses"]["200"]["content"]
    return [] if any(item["schema"].get("type") == "string" for item in answer.values()) else _ordered(answer)


def _ordered(content: Mapping[str, Any]) -> list[str]:
    return [name for name in _ORDER if name in content] or list(content)


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter["schema"]
    found = {
        "uniqueItems": schema["uniqueItems"],
        "type": schema["type"],
        "description": parameter["description"],
        "name": parameter["name"],
        "in": parameter["in"],
    }
    return found | {"required": True} if parameter.get("required") else found


def _body(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": "body", "in": "body"}
    if body.get("required"):
        found["required"] = True
    return found | {"schema": _schema(body["content"])}


def _response(answer: dict[str, Any]) -> dict[str, Any]:
    found = {"description": answer["description"]}
    return found | {"schema": _schema(answer["content"])} if "content" in answer else found


def _schema(content: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = next(iter(content.values()))["schema"]
    target = schema.get("$ref")
    return schema if target is None else {"$ref": target.replace(Form.V3.value, Form.V2.value, 1)}
