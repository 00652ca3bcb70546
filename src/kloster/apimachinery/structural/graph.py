"""From a structural schema to the type graph of `kloster.apimachinery.schema.model`.

Structs are `sorted` (to Go, custom resources are maps) and closed, unless the schema preserves unknown fields: what
the decoder does not find in them is pruned. Leaves carry no format: values are checked by `values`, after decoding.
The root and embedded resources have apiVersion, kind and metadata, whatever the schema says about them.
"""

from __future__ import annotations

from collections.abc import Mapping

from kloster.apimachinery.schema.model import Field, Leaf, ListType, MapType, StructType, Type
from kloster.apimachinery.structural.model import Structural

META_FIELDS = ("apiVersion", "kind", "metadata")

_LEAVES: Mapping[str, Leaf] = {
    "string": Leaf.STRING,
    "integer": Leaf.INT64,
    "number": Leaf.FLOAT,
    "boolean": Leaf.BOOL,
}
_LIST_TYPES = ("atomic", "set", "map")


def root(schema: Structural, name: str, object_meta: StructType) -> StructType:
    """The type of a custom resource. `name` is ``group/version.Kind``, `object_meta` the type of its metadata."""
    return _struct(schema, name, object_meta, is_root=True)


def _type(schema: Structural, path: str, object_meta: StructType, open_items: bool = False) -> Type:
    if schema.int_or_string:
        return Leaf.INT_OR_STRING
    if schema.type == "array":
        inner = Leaf.ANY
        if schema.items is not None:
            found = _type(schema.items, f"{path}[]", object_meta, schema.preserve)
        else:
            found = inner
        kind = schema.list_type if schema.list_type in _LIST_TYPES else "atomic"
        return ListType(found, kind, schema.list_keys)
    leaf = _LEAVES.get(schema.type)
    if leaf is not None:
        return leaf
    if schema.additional is not None and not schema.properties and not schema.embedded:
        value = StructType(f"{path}.*", sorted=True)
        inner_type: Type = value
        if isinstance(schema.additional, Structural):
            inner_type = _type(schema.additional, f"{path}.*", object_meta)
        return MapType(inner_type, schema.map_type == "atomic")
    if not schema.type and schema.preserve and not schema.properties and not schema.embedded:
        return Leaf.ANY
    return _struct(schema, path, object_meta, is_open=open_items)


def _struct(
    schema: Structural, name: str, object_meta: StructType, *, is_root: bool = False, is_open: bool = False
) -> StructType:
    whole = is_root or schema.embedded
    struct = StructType(
        name,
        open=schema.preserve or is_open,
        atomic=schema.map_type == "atomic",
        sorted=True,
        embedded=schema.embedded,
    )
    required = frozenset(schema.raw.get("required") or ())
    for field, inner in schema.properties.items():
        if whole and field in META_FIELDS:
            continue
        struct.fields[field] = Field(
            field, _type(inner, f"{name}.{field}", object_meta), required=field in required, pointer=True
        )
    if whole:
        struct.fields["apiVersion"] = Field("apiVersion", Leaf.STRING)
        struct.fields["kind"] = Field("kind", Leaf.STRING)
        struct.fields["metadata"] = Field("metadata", object_meta)
    return struct
