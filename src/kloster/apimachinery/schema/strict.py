"""Strict decoding: unknown and duplicate fields, in the document's order, as fieldValidation Warn and Strict report.

A parsed document has forgotten its duplicate keys, so they are looked for in the text: one pass of the standard
library's parser that stops at the first repeated key. Only if there is one is the document read again with all its
pairs and walked along its type, where upstream's rules hold: what a raw field contains is not looked at, nor the
alternatives of JSONSchemaPropsOrBool and its like; a finding is reported once; no more than a hundred are.
Custom resources have no Go type: duplicates count everywhere and come before the unknown fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kloster.apimachinery.schema.model import EitherType, ListType, MapType, StructType, Type

LIMIT = 100


class _Duplicate(Exception):
    pass


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all its pairs."""


def findings(type: StructType, data: bytes, unknown: list[str]) -> list[str]:
    """What strict decoding reports about the JSON text `data`; `unknown` is what `decode` found in it."""
    if not has_duplicates(data):
        return list(dict.fromkeys(unknown))[:LIMIT]
    document = json.loads(data.decode("utf-8", "replace"), object_pairs_hook=_Pairs)
    if type.sorted:
        found = [*_duplicates(document, ""), *unknown]
    else:
        found = list(_walk(type, document, ""))
    return list(dict.fromkeys(found))[:LIMIT]


def has_duplicates(data: bytes) -> bool:
    """Whether an object anywhere in the JSON text `data` has a key twice."""
    try:
        json.loads(data.decode("utf-8", "replace"), object_pairs_hook=_refuse_duplicates)
    except _Duplicate:
        return True
    return False


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len(dict(pairs)) < len(pairs):
        raise _Duplicate


def _walk(type: Type, value: Any, path: str) -> Iterator[str]:
    if isinstance(type, EitherType):
        return
    if isinstance(type, ListType) and value.__class__ is list:
        for index, item in enumerate(value):
            yield from _walk(type.item, item, f"{path}[{index}]")
    elif isinstance(type, MapType | StructType) and isinstance(value, _Pairs):
        yield from _walk_object(type, value, path)


def _walk_object(type: MapType | StructType, pairs: _Pairs, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for key, item in pairs:
        place = f"{path}.{key}" if path else key
        inner: Type | None = type.value if isinstance(type, MapType) else _field_type(type, key)
        if inner is None:
            yield f'unknown field "{place}"'
            continue
        if key in seen:
            yield f'duplicate field "{place}"'
        seen.add(key)
        yield from _walk(inner, item, place)


def _field_type(type: StructType, name: str) -> Type | None:
    field = type.fields.get(name)
    return field.type if field is not None else None


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            place = f"{path}.{key}" if path else key
            if key in seen:
                yield f'duplicate field "{place}"'
            seen.add(key)
            yield from _duplicates(item, place)
    elif value.__class__ is list:
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path}[{index}]")
