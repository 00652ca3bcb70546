"""Schemas of custom resources, as upstream publishes them.

Version 3 tells nearly all that the definition says. Version 2 knows neither alternatives nor null nor unknown fields:
these are dropped, and with them the types that old clients would then read too strictly.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#publish-validation-schema-in-openapi
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kloster.apimachinery import Object
from kloster.apimachinery.openapi.definitions import Form, Schema, reference
from kloster.apimachinery.schema.build import META

_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_METADATA = f"Standard object's metadata. More info: {_CONVENTIONS}#metadata"
_LIST_METADATA = f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds"
_EMBEDDED = {
    "apiVersion": "apiVersion defines the versioned schema of this representation of an object. "
    f"More info: {_CONVENTIONS}#resources",
    "kind": "kind is a string value representing the type of this object. In CamelCase. "
    f"More info: {_CONVENTIONS}#types-kinds",
}
_KEPT = frozenset(
    (
        "type",
        "title",
        "description",
        "default",
        "nullable",
        "format",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "multipleOf",
        "enum",
        "maxProperties",
        "minProperties",
        "required",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-validations",
    )
)
# Groups that upstream's client library does not know.
_NOT_CLIENTS = frozenset(("admission.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "imagepolicy.k8s.io"))
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_EITHER = [{"type": "integer"}, {"type": "string"}]
_UNKNOWN = "x-kubernetes-preserve-unknown-fields"


def name_of(group: str, version: str, kind: str) -> str:
    """``stable.example.com``, ``v1``, ``CronTab`` → ``com.example.stable.v1.CronTab``."""
    return ".".join((*reversed(group.split(".")), version, kind))


class Names(NamedTuple):
    """How a custom resource is called."""

    group: str
    version: str
    plural: str
    kind: str
    list_kind: str


def definitions(
    form: Form, names: Names, schema: Object | None, type_meta: Mapping[str, str], lenient: bool
) -> dict[str, Schema]:
    """The definitions of a kind and of its list.

    `type_meta` are the texts of kind and apiVersion; `lenient`: the definition keeps unknown fields everywhere.
    """
    group, version, plural, kind, list_kind = names
    listed: Schema = {
        "description": f"{list_kind} is a list of {kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **_type_meta(type_meta),
            "items": {
                "description": f"List of {plural}. More info: {_CONVENTIONS}",
                "type": "array",
                "items": {"$ref": form.value + name_of(group, version, kind)},
            },
            "metadata": _described(form, _LIST_METADATA, f"{META}.ListMeta"),
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": list_kind}],
    }
    whole = _whole(form, schema, type_meta, lenient)
    whole["x-kubernetes-group-version-kind"] = [{"group": group, "version": version, "kind": kind}]
    return {name_of(group, version, kind): whole, name_of(group, version, list_kind): listed}


def selectable(schemas: Mapping[str, Schema], paths: Sequence[str]) -> None:
    """Adds the selectable fields (``.spec.color``) to definitions."""
    for schema in schemas.values():
        schema["x-kubernetes-selectable-fields"] = [{"fieldPath": path.removeprefix(".")} for path in paths]


def narrowed(schema: Schema) -> Schema:
    """A definition of the API machinery as the documents of custom resources have it: fewer groups take part in it."""
    kinds = schema.get("x-kubernetes-group-version-kind")
    if not kinds:
        return schema
    return schema | {"x-kubernetes-group-version-kind": [kind for kind in kinds if kind["group"] not in _NOT_CLIENTS]}


def _whole(form: Form, schema: Object | None, type_meta: Mapping[str, str], lenient: bool) -> Schema:
    if schema is None or (form is Form.V2 and (lenient or schema.get(_UNKNOWN))):
        return {"type": "object"}
    found = _schema(form, schema)
    found.setdefault("properties", {}).update(
        {**_type_meta(type_meta), "metadata": _described(form, _METADATA, f"{META}.ObjectMeta")}
    )
    return found


def _type_meta(texts: Mapping[str, str]) -> dict[str, Schema]:
    return {name: {"description": texts.get(name, ""), "type": "string"} for name in ("apiVersion", "kind")}


def _described(form: Form, text: str, go_type: str) -> Schema:
    target = reference(form, go_type)
    return {"description": text} | ({"allOf": [target]} if form is Form.V3 else target)


def _schema(form: Form, node: Object) -> Schema:
    """A structural schema."""
    if form is Form.V2:
        node = _flattened(node)
    found = {key: value for key, value in node.items() if key in _KEPT and (form is Form.V3 or key != "default")}
    if "properties" in node:
        found["properties"] = {name: _schema(form, value) for name, value in node["properties"].items()}
    items, additional = node.get("items"), node.get("additionalProperties")
    if isinstance(items, dict):
        found["items"] = _schema(form, items)
    if isinstance(additional, dict):
        found["additionalProperties"] = _schema(form, additional)
    elif additional is not None:
        found["additionalProperties"] = additional
    if form is Form.V3:
        found |= {key: node[key] for key in (*_JUNCTORS, "not") if node.get(key)}
        if node.get("x-kubernetes-int-or-string"):
            _say_either(found)
    if node.get("x-kubernetes-embedded-resource") and not (form is Form.V2 and node.get(_UNKNOWN)):
        _embed(form, found)
    return found


def _say_either(found: Schema) -> None:
    """Version 3 spells out that a value may be a number or text."""
    said = {"anyOf": _EITHER}
    if any(part.get("anyOf") == _EITHER for part in (found, *found.get("allOf", ()))):
        return
    if "anyOf" in found:
        found["allOf"] = [said, *found.get("allOf", ())]
    else:
        found |= said


def _embed(form: Form, found: Schema) -> None:
    """A complete object within another."""
    properties = found.setdefault("properties", {})
    for name, text in _EMBEDDED.items():
        properties[name] = {"description": text, "type": "string"}
    properties["metadata"] = _described(form, _METADATA, f"{META}.ObjectMeta")
    required = list(found.get("required", ()))
    found["required"] = required + [name for name in ("kind", "apiVersion") if name not in required]


def _flattened(node: Object) -> Object:
    """What version 2 can say of a schema, with what old clients misread left out."""
    node = {key: value for key, value in node.items() if key not in (*_JUNCTORS, "not")}
    if node.pop("nullable", False):
        for key in ("type", "items", "properties"):
            node.pop(key, None)
    if node.get(_UNKNOWN):
        for key in ("items", "properties"):
            node.pop(key, None)
    if node.get("type") == "array" and not node.get("items"):
        node.pop("type")
    if node.get(_UNKNOWN) and node.get("type") == "object":
        node.pop("type")
    optional = {name for name, value in node.get("properties", {}).items() if value.get("nullable")}
    additional = node.get("additionalProperties")
    if optional and node.get("required"):
        node["required"] = [name for name in node["required"] if name not in optional]
    if isinstance(additional, dict) and additional.get("nullable"):
        node.pop("required", None)
    if not node.get("required", True):
        node.pop("required")
    return node
