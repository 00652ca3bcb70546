"""A structural schema as a tree.

A structural schema is an OpenAPI v3 schema of which the skeleton (types, properties, items, additionalProperties and
the x-kubernetes extensions) stands outside of all logical junctors, so that it can be read as a type. `Structural` is
one node of the skeleton. What constrains values beyond the skeleton (enum, pattern, allOf, ...) stays as it was
written, in `raw`, and is compiled when a value is first validated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kloster.apimachinery import Object

MISSING: Any = object()
"""There is no default (null can be one)."""


class Structural:
    """One node.

    raw         the schema as written; never changed
    type        object, array, string, integer, number, boolean, or empty
    properties  by name
    additional  schema of the values of a map; True for any value, None where there are none
    items       schema of an array's items
    default     `MISSING` without one
    preserve    x-kubernetes-preserve-unknown-fields
    compiled    what walkers prepared for this node, by walker
    """

    __slots__ = (
        "additional",
        "compiled",
        "default",
        "embedded",
        "int_or_string",
        "items",
        "list_keys",
        "list_type",
        "map_type",
        "nullable",
        "preserve",
        "properties",
        "raw",
        "type",
    )

    def __init__(self, raw: Object) -> None:
        self.raw = raw
        self.type: str = raw.get("type") or ""
        self.nullable = bool(raw.get("nullable"))
        self.int_or_string = bool(raw.get("x-kubernetes-int-or-string"))
        self.preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded = bool(raw.get("x-kubernetes-embedded-resource"))
        self.list_type: str = raw.get("x-kubernetes-list-type") or ""
        self.list_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = raw.get("x-kubernetes-map-type") or ""
        default = raw.get("default")
        self.default: Any = MISSING if default is None else default
        self.properties: Mapping[str, Structural] = {
            name: Structural(inner) for name, inner in (raw.get("properties") or {}).items()
        }
        additional = raw.get("additionalProperties")
        self.additional: Structural | bool | None = (
            Structural(additional) if isinstance(additional, dict) else (additional or None)
        )
        items = raw.get("items")
        self.items: Structural | None = Structural(items) if isinstance(items, dict) else None
        self.compiled: dict[str, Any] = {}

    def child(self, name: str) -> Structural | None:
        """The schema of a member; None where the skeleton says nothing about it."""
        found = self.properties.get(name)
        if found is None and isinstance(self.additional, Structural):
            return self.additional
        return found

    def children(self) -> Iterator[Structural]:
        yield from self.properties.values()
        if isinstance(self.additional, Structural):
            yield self.additional
        if self.items is not None:
            yield self.items
