"""The custom resources of tests/golden/custom.yaml, as the graphs that their schemas become."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery.schema.model import Field, Leaf, ListType, MapType, StructType, Type
from kloster.kinds.catalog import catalog


def struct(
    name: str, fields: dict[str, Type], *, defaults: dict[str, Any] | None = None, **options: bool
) -> StructType:
    made = StructType(name, sorted=True, **options)
    for field, type in fields.items():
        made.fields[field] = Field(field, type, default=(defaults or {}).get(field))
    return made


def _object(name: str, fields: dict[str, Type], **options: bool) -> StructType:
    metadata = catalog("1.34").struct("apimachinery/pkg/apis/meta/v1.ObjectMeta")
    assert metadata is not None
    heads: dict[str, Type] = {"apiVersion": Leaf.STRING, "kind": Leaf.STRING, "metadata": metadata}
    return struct(name, {**heads, **fields}, **options)


TEXTS = MapType(Leaf.STRING)
PART = struct(
    "Part",
    {"name": Leaf.STRING, "port": Leaf.INT64, "value": Leaf.STRING, "inner": TEXTS},
    defaults={"port": 80},
)
SPEC = struct(
    "Spec",
    {
        "name": Leaf.STRING,
        "size": Leaf.INT64,
        "ratio": Leaf.FLOAT,
        "enabled": Leaf.BOOL,
        "port": Leaf.INT_OR_STRING,
        "tags": ListType(Leaf.STRING, "set"),
        "numbers": ListType(Leaf.INT64, "set"),
        "plain": ListType(Leaf.STRING),
        "parts": ListType(PART, "map", ("name", "port")),
        "whole": MapType(Leaf.STRING, atomic=True),
        "block": struct("Block", {"a": Leaf.STRING, "b": Leaf.STRING}, atomic=True),
        "map": MapType(struct("Entry", {"x": Leaf.STRING, "y": Leaf.STRING})),
        "free": struct("Free", {}, open=True),
        "maybe": Leaf.STRING,
    },
)
WIDGET = _object("Widget", {"spec": SPEC, "status": struct("Status", {"phase": Leaf.STRING})})
LOOSE = _object("Loose", {}, open=True)


def default_parts(value: dict[str, Any]) -> None:
    """The defaults of the schema."""
    for part in (value.get("spec") or {}).get("parts") or ():
        part.setdefault("port", 80)
