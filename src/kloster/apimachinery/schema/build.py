"""Builds the type graph from compact descriptions of Go types, one struct at a time, when it is first looked at.

A `Source` tells for a Go type (``api/core/v1.PodSpec``) what the packaged data holds about it: the extras of the
struct and its fields, embedded structs already inlined. A field is ``[JSON name, flags, Go type, protobuf number]``
with extras as a fifth element where there are any:

    flags    e omitempty, z omitzero
    extras   of a field: r required, l list type, k list-map keys, t map type, m merge key, s patch strategies,
             d default, n name of its Go type in errors, p protobuf path; of a struct: a owned as a whole

A kind's graph has hundreds of structs, of which a process uses few: so a struct's `fields` come into being on first
access (`LazyStruct`), and everything that a version's kinds share is built once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type

Described = tuple[dict[str, Any], list[list[Any]]]
Source = Callable[[str], Described | None]

META = "apimachinery/pkg/apis/meta/v1"
_EXTENSIONS = "apiextensions-apiserver/pkg/apis/apiextensions/v1"
_SCHEMA = f"{_EXTENSIONS}.JSONSchemaProps"

LEAVES: dict[str, Leaf] = {
    "string": Leaf.STRING,
    "int32": Leaf.INT32,
    "int64": Leaf.INT64,
    "float64": Leaf.FLOAT,
    "bool": Leaf.BOOL,
    "bytes": Leaf.BYTES,
    "interface": Leaf.ANY,
    "time.Time": Leaf.TIME,
    f"{META}.Time": Leaf.TIME,
    f"{META}.MicroTime": Leaf.MICRO_TIME,
    f"{META}.Duration": Leaf.DURATION,
    f"{META}.FieldsV1": Leaf.FIELDS,
    "apimachinery/pkg/api/resource.Quantity": Leaf.QUANTITY,
    "apimachinery/pkg/util/intstr.IntOrString": Leaf.INT_OR_STRING,
    "apimachinery/pkg/runtime.RawExtension": Leaf.RAW,
    f"{_EXTENSIONS}.JSON": Leaf.ANY,
}

_EITHER: dict[str, Type] = {
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": Leaf.BOOL,
    f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray": ListType(Leaf.STRING),
}


class LazyStruct(StructType):
    """A struct whose `fields` are built when they are first asked for."""

    __slots__ = ("_build",)

    def __init__(self, name: str, build: Callable[[], dict[str, Field]], *, atomic: bool) -> None:
        super().__init__(name, atomic=atomic)
        self._build = build
        del self.fields

    def __getattr__(self, name: str) -> Any:
        # Only an empty slot gets here: `fields` before it was built.
        if name != "fields":
            raise AttributeError(name)
        self.fields = self._build()
        return self.fields


class LazyEither(EitherType):
    """The same for a struct that something else may stand for."""

    __slots__ = ()

    def __init__(self, name: str, struct: StructType, other: Type) -> None:
        StructType.__init__(self, name)
        self.struct = struct
        self.other = other
        del self.fields

    def __getattr__(self, name: str) -> Any:
        if name != "fields":
            raise AttributeError(name)
        self.fields = self.struct.fields
        return self.fields


class Graph:
    """All types of one version. Every Go type is one node, whoever asks for it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._structs: dict[str, StructType] = {}

    def struct(self, name: str) -> StructType | None:
        """The struct with this Go type, None if the version has none."""
        found = self._structs.get(name)
        if found is None:
            described = self._source(name)
            if described is None:
                return None
            extras, fields = described
            found = LazyStruct(name, lambda: self._fields(fields), atomic="a" in extras)
            self._structs[name] = found
        return found

    def _fields(self, described: list[list[Any]]) -> dict[str, Field]:
        return {field[0]: self._field(*field) for field in described}

    def _field(self, name: str, flags: str, go_type: str, number: int, extras: dict[str, Any] | None = None) -> Field:
        more = extras or {}
        return Field(
            name,
            self._type(go_type.removeprefix("*"), more),
            number=number,
            path=tuple(more.get("p", ())),
            omitempty="e" in flags,
            omitzero="z" in flags,
            pointer=go_type.startswith("*"),
            required="r" in more,
            default=more.get("d"),
            merge_key=more.get("m", ""),
            strategies=tuple(more.get("s", ())),
            go_type=more.get("n", ""),
        )

    def _type(self, go_type: str, extras: dict[str, Any]) -> Type:
        if go_type.startswith("[]"):
            item = self._type(go_type[2:].removeprefix("*"), {})
            return ListType(item, extras.get("l", "atomic"), tuple(extras.get("k", ())))
        if go_type.startswith("map[string]"):
            value = self._type(go_type[len("map[string]") :].removeprefix("*"), {})
            return MapType(value, extras.get("t") == "atomic")
        leaf = LEAVES.get(go_type)
        return leaf if leaf is not None else self._named(go_type)

    def _named(self, name: str) -> StructType:
        found = self._structs.get(name) or self._either(name) or self.struct(name)
        if found is None:
            raise LookupError(f"the data of this version lacks the type {name}")
        return found

    def _either(self, name: str) -> StructType | None:
        if not name.startswith(f"{_SCHEMA}Or"):
            return None
        schema = self._named(_SCHEMA)
        found = LazyEither(name, schema, _EITHER.get(name) or ListType(schema))
        self._structs[name] = found
        return found
