"""What a type of the API is: a graph of leaves, lists, maps and structs.

Built-in types come from upstream's Go types (field order, omitempty, pointers, protobuf numbers) joined with
upstream's OpenAPI extensions (list types, merge keys); custom resources bring theirs as a structural schema, which
is turned into the same graph. All walkers (decoder, encoder, strategic merge, server-side apply, protobuf)
work on this graph alone.

The graph may be cyclic (JSONSchemaProps contains itself): a struct's fields are filled in after its creation.
Nodes compare by identity and are shared by all clusters of a Kubernetes version: never change one after it is built.
"""

from __future__ import annotations

import enum
from typing import Any


class Leaf(enum.Enum):
    """Types without structure, by the way they stand in JSON."""

    STRING = "string"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT = "float64"
    BOOL = "bool"
    BYTES = "bytes"  # base64 text
    QUANTITY = "quantity"  # text or number, canonical text on output
    INT_OR_STRING = "int-or-string"
    TIME = "time"  # RFC 3339, whole seconds; zero value is null
    MICRO_TIME = "micro-time"  # RFC 3339, six decimals
    DURATION = "duration"  # Go duration text
    RAW = "raw"  # runtime.RawExtension: any object, kept as it is
    FIELDS = "fields"  # metav1.FieldsV1: an object, kept as it is
    ANY = "any"  # any JSON (x-kubernetes-preserve-unknown-fields, apiextensions JSON)


class ListType:
    """A list. `kind` is atomic, set or map; `keys` are the map's keys (x-kubernetes-list-map-keys).

    compiled    as of structs: what walkers prepared for this type
    """

    __slots__ = ("compiled", "item", "keys", "kind")

    def __init__(self, item: Type, kind: str = "atomic", keys: tuple[str, ...] = ()) -> None:
        self.item = item
        self.kind = kind
        self.keys = keys
        self.compiled: dict[str, Any] = {}


class MapType:
    """A map from text to `value`. `atomic` maps are owned as a whole in server-side apply."""

    __slots__ = ("atomic", "value")

    def __init__(self, value: Type, atomic: bool = False) -> None:
        self.value = value
        self.atomic = atomic


class Field:
    """A field of a struct.

    name           its JSON name
    type           its type
    number         its protobuf number (0: none)
    path           protobuf numbers of the embedded structs that it stands in: to protobuf, messages of their own
    omitempty      an empty value is left out (numbers 0, false, "", empty lists and maps; never a struct)
    omitzero       a zero struct (zero time) is left out as well
    pointer        its Go type is a pointer: absent and zero differ
    required       OpenAPI says that it is required
    default        OpenAPI's default, None if there is none
    merge_key      strategic merge patch: the key by which list items merge
    strategies     strategic merge patch: of merge, replace, retainKeys
    go_type        the name that Go's decoder gives its type in errors, where the graph does not tell it
    description    upstream's text is looked up elsewhere (OpenAPI only)
    """

    __slots__ = (
        "default",
        "go_type",
        "merge_key",
        "name",
        "number",
        "omitempty",
        "omitzero",
        "path",
        "pointer",
        "required",
        "strategies",
        "type",
    )

    def __init__(
        self,
        name: str,
        type: Type,
        *,
        number: int = 0,
        path: tuple[int, ...] = (),
        omitempty: bool = True,
        omitzero: bool = False,
        pointer: bool = False,
        required: bool = False,
        default: Any = None,
        merge_key: str = "",
        strategies: tuple[str, ...] = (),
        go_type: str = "",
    ) -> None:
        self.name = name
        self.type = type
        self.number = number
        self.path = path
        self.omitempty = omitempty
        self.omitzero = omitzero
        self.pointer = pointer
        self.required = required
        self.default = default
        self.merge_key = merge_key
        self.strategies = strategies
        self.go_type = go_type


class StructType:
    """An object with known fields, in upstream's order (inlined structs already flattened in place).

    name        Go type for built-in types (``api/core/v1.PodSpec``), otherwise a path for messages
    fields      JSON name → Field, in order
    open        unknown fields are kept (custom resources: x-kubernetes-preserve-unknown-fields)
    atomic      owned as a whole in server-side apply (x-kubernetes-map-type: atomic)
    sorted      written with sorted keys, as Go writes maps (custom resources)
    embedded    holds a complete object with apiVersion, kind, metadata (x-kubernetes-embedded-resource)
    compiled    what walkers prepared for this type, by walker; lives as long as the type
    """

    __slots__ = ("atomic", "compiled", "embedded", "fields", "name", "open", "sorted")

    def __init__(
        self,
        name: str,
        *,
        open: bool = False,
        atomic: bool = False,
        sorted: bool = False,
        embedded: bool = False,
    ) -> None:
        self.name = name
        self.fields: dict[str, Field] = {}
        self.open = open
        self.atomic = atomic
        self.sorted = sorted
        self.embedded = embedded
        self.compiled: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"StructType({self.name})"


class EitherType(StructType):
    """A struct, or something else in its place: JSONSchemaPropsOrBool, ...OrArray, ...OrStringArray.

    A JSON object stands for the struct (`fields` are the struct's own); any other value is of type `other`.
    """

    __slots__ = ("other", "struct")

    def __init__(self, name: str, struct: StructType, other: Type) -> None:
        super().__init__(name)
        self.struct = struct
        self.other = other
        self.fields = struct.fields


Type = Leaf | ListType | MapType | StructType
