"""Checking an applied configuration against the schema, in upstream's words.

This is not validation of the object, only of its shape: unknown fields, values of the wrong sort, list items without a
key or twice. Upstream answers all of it with 500.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import golang
from kloster.apimachinery.apply.fieldset import shown
from kloster.apimachinery.apply.typed import ItemError, deduce, plan, stepper
from kloster.apimachinery.schema.model import Leaf, ListType, MapType, StructType, Type


def validate(value: Any, type: Type, path: str = "", open: bool = False) -> Iterator[str]:
    """What is wrong with an applied value, in upstream's words. `open`: something above it keeps unknown fields, which
    opens everything below as well."""
    type = deduce(type, value)
    if value is None or type is Leaf.RAW:
        return
    if isinstance(type, ListType):
        if isinstance(value, list):
            yield from _validate_items(value, type, path, open)
        else:
            yield _said(path, f"expected list, got &{{{golang.shown(value)}}}")
    elif isinstance(type, StructType | MapType):
        if isinstance(value, dict):
            yield from _validate_fields(value, type, path, open)
        else:
            yield _said(path, f"expected map, got &{{{golang.shown(value)}}}")
    else:
        yield from _validate_scalar(value, type, path)


def _said(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text


def _validate_items(items: list[Any], type: ListType, path: str, open: bool) -> Iterator[str]:
    seen = set()
    for index, item in enumerate(items):
        if type.kind == "atomic":
            yield from validate(item, type.item, f"{path}[{index}]", open)
            continue
        try:
            step = stepper(type)(item)
        except ItemError as error:
            yield _said(path, f"element {index}: {error}")
            return
        from_step = shown((step,))
        if step in seen:
            yield _said(path, f"duplicate entries for key {from_step}")
        seen.add(step)
        yield from validate(item, type.item, path + from_step)


def _validate_fields(value: dict[str, Any], type: StructType | MapType, path: str, open: bool) -> Iterator[str]:
    if isinstance(type, MapType):
        for name in sorted(value):
            yield from validate(value[name], type.value, f"{path}.{name}", open)
        return
    known = plan(type)
    # Built-in types inside of custom resources (their metadata) stay closed.
    open = type.sorted and (open or type.open)
    closed = bool(known.fields) and not open
    for name in sorted(value):
        field = known.fields.get(name)
        if field is None and closed:
            # Upstream stops at the first one that it meets.
            yield _said(f"{path}.{name}", "field not declared in schema")
            return
        yield from validate(value[name], field[1] if field else known.other, f"{path}.{name}", open)


_TEXTS = (Leaf.STRING, Leaf.BYTES)
_NUMBERS = (Leaf.INT32, Leaf.INT64, Leaf.FLOAT)
_ANYTHING = (Leaf.FIELDS, Leaf.INT_OR_STRING)  # OpenAPI gives them no type, so that decoding refuses what is wrong


def _validate_scalar(value: Any, type: Type, path: str) -> Iterator[str]:
    if type in _TEXTS:
        if not isinstance(value, str):
            yield _said(path, f"expected string, got &value.valueUnstructured{{Value:{golang.detailed(value)}}}")
    elif type in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield _said(path, f"expected numeric (int or float), got {golang.kind(value)}")
    elif type is Leaf.BOOL:
        if not isinstance(value, bool):
            yield _said(path, f"expected boolean, got &{{{golang.shown(value)}}}")
    elif isinstance(value, dict | list) and type not in _ANYTHING:
        yield _said(path, f"expected any scalar, got &{{{golang.shown(value)}}}")
