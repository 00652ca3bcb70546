"""Protobuf as a `Codec` of the API server: bodies and answers of built-in types, watch frames, lists from parts.

A list is the bytes of its items, each encoded once and kept with its entry (`forms`), around which little is new.
Custom resources have no messages, nor have tables: negotiation never chooses protobuf for them.
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.protobuf import decode, encode, envelope, wire
from kloster.apimachinery.protobuf.wire import WireError
from kloster.apimachinery.schema.model import StructType
from kloster.apiserver.negotiation import PROTOBUF, Unreadable


class ProtobufCodec:
    """Has no state: one serves all clusters."""

    media_type = PROTOBUF

    def encode(self, value: Object, schema: StructType) -> bytes:
        return self.complete(value.get("apiVersion", ""), value.get("kind", ""), self.part(value, schema))

    def part(self, value: Object, schema: StructType) -> bytes:
        return encode.encode(schema, value)

    def complete(self, api_version: str, kind: str, part: bytes) -> bytes:
        return envelope.seal(api_version, kind, part)

    def collect(
        self, api_version: str, kind: str, metadata: Object, schema: StructType, parts: Iterable[bytes]
    ) -> bytes:
        head = encode.encode(schema, {"metadata": metadata})
        number = schema.fields["items"].number
        return envelope.seal(api_version, kind, head + b"".join([wire.field(number, part) for part in parts]))

    def frame(self, type: str, value: bytes) -> bytes:
        return envelope.event(type, value)

    def identity(self, data: bytes) -> tuple[str, str]:
        try:
            found = envelope.open(data)
        except WireError as error:
            raise Unreadable(str(error)) from None
        return found.api_version, found.kind

    def decode(self, data: bytes, schema: StructType) -> Object:
        try:
            found = envelope.open(data)
            item = decode.decode(schema, found.raw)
        except WireError as error:
            raise Unreadable(str(error)) from None
        return {"kind": found.kind, "apiVersion": found.api_version, **item}
