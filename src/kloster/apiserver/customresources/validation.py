"""What is checked when a custom resource is written: its schema, its lists, its embedded objects, its scale.

Metadata is checked as every object's, before this. Rules (x-kubernetes-validations) come last: where the object is
invalid in a way that they would stumble over they are not evaluated, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from kloster.apimachinery import Object, golang
from kloster.apimachinery.errors import FieldError, invalid_value
from kloster.apimachinery.rules.objects import Rules
from kloster.apimachinery.structural import lists
from kloster.apimachinery.structural.model import Structural
from kloster.apimachinery.structural.values import NEW, Checker, validate
from kloster.kinds.apiextensions import embedded

_BLOCKING = frozenset(
    (
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    )
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)
_MAX_REPLICAS = 2**31 - 1


class Validator:
    """The checks of one version. `scale` is its scale subresource as the definition has it."""

    def __init__(self, schema: Structural, scale: Object | None, minor: int) -> None:
        self._schema = schema
        self._checker = Checker(schema.raw, minor)
        self._status = schema.properties.get("status")
        self._status_checker = Checker(self._status.raw, minor) if self._status is not None else None
        self._scale = scale or {}
        self._has_rules = _has_rules(schema)
        self._minor = minor

    @cached_property
    def _rules(self) -> Rules:
        return Rules(self._schema, self._minor)

    def create(self, item: Object) -> list[FieldError]:
        """Findings about a new object."""
        found = validate(self._checker, item)
        found += self._scale_spec(item)
        found += self._scale_status(item)
        found += embedded.validate(self._schema, item)
        found += lists.validate(self._schema, item)
        return self._with_rules(found, item, None)

    def update(self, new: Object, old: Object) -> list[FieldError]:
        """Findings about an update: what has not changed may stay as it is."""
        found = validate(self._checker, new, old=old)
        found += self._scale_spec(new)
        found += self._scale_status(new)
        found += embedded.validate(self._schema, new)
        found += self._lists(new, old)
        return self._with_rules(found, new, old)

    def update_status(self, new: Object, old: Object) -> list[FieldError]:
        """Findings about an update of the status subresource."""
        found: list[FieldError] = []
        if "status" in new and self._status_checker is not None:
            before = old.get("status", NEW)
            found += validate(self._status_checker, new["status"], old=before, path="status")
        found += self._scale_status(new)
        found += self._lists(new, old)
        return self._with_rules(found, new, old)

    def _lists(self, new: Object, old: Object) -> list[FieldError]:
        found = list(lists.validate(self._schema, new))
        return [] if found and any(True for _ in lists.validate(self._schema, old)) else found

    def _with_rules(self, found: list[FieldError], new: Object, old: Object | None) -> list[FieldError]:
        if not self._has_rules:
            return found
        if any(each.type in _BLOCKING for each in found):
            return [*found, FieldError("FieldValueInvalid", "<nil>", f"Invalid value: null: {_UNCHECKED}")]
        return [*found, *self._rules.validate(new, old)]

    # --- scale ----------------------------------------------------------------------------------------------------

    def _scale_spec(self, item: Object) -> Iterator[FieldError]:
        if self._scale:
            yield from _check_replicas(item, self._scale.get("specReplicasPath", ""))

    def _scale_status(self, item: Object) -> Iterator[FieldError]:
        if self._scale:
            yield from _check_replicas(item, self._scale.get("statusReplicasPath", ""))
            path = self._scale.get("labelSelectorPath")
            if path:
                _, problem = _nested(item, path, str, "string")
                if problem:
                    yield invalid_value(path, "", problem)


def _check_replicas(item: Object, path: str) -> Iterator[FieldError]:
    value, problem = _nested(item, path, int, "int64")
    if problem:
        yield invalid_value(path, 0, problem)
    elif value is not None and value < 0:
        yield invalid_value(path, value, "should be a non-negative integer")
    elif value is not None and value > _MAX_REPLICAS:
        yield invalid_value(path, value, f"should be less than or equal to {_MAX_REPLICAS}")


def _nested(item: Object, path: str, kind: type, name: str) -> tuple[Any, str]:
    """(the value at a path, what is wrong with it): as unstructured.NestedInt64 and its like."""
    names = path.removeprefix(".").split(".")
    value: Any = item
    for place, field in enumerate(names):
        if not isinstance(value, dict):
            shown, kind_shown = golang.shown(value), golang.kind(value)
            at = "." + ".".join(names[: place + 1])
            return None, f"{at} accessor error: {shown} is of the type {kind_shown}, expected map[string]interface{{}}"
        if field not in value:
            return None, ""
        value = value[field]
    if value.__class__ is kind:
        return value, ""
    at = "." + ".".join(names)
    return None, f"{at} accessor error: {golang.shown(value)} is of the type {golang.kind(value)}, expected {name}"


def _has_rules(schema: Structural) -> bool:
    return bool(schema.raw.get("x-kubernetes-validations")) or any(_has_rules(inner) for inner in schema.children())
