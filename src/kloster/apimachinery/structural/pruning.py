"""What a value looks like without the fields that its schema does not know.

Whole resources are pruned by their type graph while they are decoded; this is for values in a schema (defaults).
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery.structural.graph import META_FIELDS
from kloster.apimachinery.structural.model import Structural


def prune(value: Any, schema: Structural | None, is_open: bool = False) -> Any:
    """A pruned copy. `is_open`: what is unknown stays (inside of a list of a schema that preserves it)."""
    keep = is_open or (schema is not None and schema.preserve)
    if value.__class__ is list:
        items = schema.items if schema is not None else None
        return [item if keep and items is None else prune(item, items, keep) for item in value]
    if value.__class__ is not dict:
        return value
    found = {}
    for name, item in value.items():
        if schema is not None and schema.embedded and name in META_FIELDS:
            found[name] = item
        elif schema is not None and (name in schema.properties or schema.additional is not None):
            found[name] = prune(item, schema.child(name))
        elif keep:
            found[name] = item
    return found
