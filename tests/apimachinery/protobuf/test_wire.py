"""What is no message is refused in upstream's words; what is unknown is skipped."""

from __future__ import annotations

import pytest

from kloster.apimachinery.protobuf import decode, encode, envelope, wire
from kloster.apimachinery.protobuf.wire import WireError
from kloster.apimachinery.schema.model import StructType
from kloster.kinds.catalog import catalog

CATALOG = catalog("1.34")


def type_of(kind: str, group: str = "", version: str = "v1") -> StructType:
    found = CATALOG.type(group, version, kind)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"\xff\xff", "unexpected EOF", id="half a tag"),
        pytest.param(b"\x08\x01", "proto: wrong wireType = 0 for field ObjectMeta", id="number for a message"),
        pytest.param(b"\x0f\x03", "proto: wrong wireType = 7 for field ObjectMeta", id="impossible type, known field"),
        pytest.param(b"\x0a\x03\x08\x01\x02", "proto: wrong wireType = 0 for field Name", id="nested"),
        pytest.param(b"\x0c\x03", "proto: ConfigMap: wiretype end group for non-group", id="end of group"),
        pytest.param(b"\x02\x03", "proto: ConfigMap: illegal tag 0 (wire type 2)", id="number zero"),
        pytest.param(b"\x7f", "proto: illegal wireType 7", id="impossible type, unknown field"),
        pytest.param(b"\x7b", "unexpected EOF", id="group without end"),
        pytest.param(
            b"\x12" + b"\xff" * 9 + b"\x01", "proto: negative length found during unmarshaling", id="negative length"
        ),
        pytest.param(b"\x12" + b"\xff" * 11, "proto: integer overflow", id="endless number"),
        pytest.param(b"\x12\x05ab", "unexpected EOF", id="longer than there is"),
    ],
)
def test_garbage(data: bytes, message: str) -> None:
    with pytest.raises(WireError) as caught:
        decode.decode(type_of("ConfigMap"), data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "empty data", id="nothing"),
        pytest.param(
            b"abc",
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
            id="no prefix",
        ),
        pytest.param(b"k8s\0", "empty body", id="prefix only"),
        pytest.param(b"k8s\0\xff", "unexpected EOF", id="half a tag"),
        pytest.param(b"k8s\0\x0a\x05", "unexpected EOF", id="no typeMeta"),
    ],
)
def test_no_envelope(data: bytes, message: str) -> None:
    with pytest.raises(WireError) as caught:
        envelope.open(data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(wire.tag(1000, wire.VARINT) + wire.varint(-1), id="number"),
        pytest.param(wire.tag(1000, wire.FIXED64) + bytes(8), id="eight bytes"),
        pytest.param(wire.tag(1000, wire.FIXED32) + bytes(4), id="four bytes"),
        pytest.param(wire.field(1000, b"abc"), id="bytes"),
        pytest.param(
            wire.tag(99, wire.GROUP)
            + wire.tag(99, wire.GROUP)
            + wire.field(1, b"x")
            + wire.tag(99, wire.END_GROUP) * 2,
            id="group",
        ),
    ],
)
def test_unknown_fields_are_skipped(extra: bytes) -> None:
    type, item = type_of("ConfigMap"), {"metadata": {"name": "a"}, "data": {"k": "v"}}
    data = encode.encode(type, item)
    assert decode.decode(type, extra + data + extra) == decode.decode(type, data) == item


def test_numbers_may_be_packed() -> None:
    type = CATALOG.struct("api/core/v1.PodSecurityContext")
    assert type is not None
    number = type.fields["supplementalGroups"].number
    packed = wire.field(number, wire.varint(1) + wire.varint(300) + wire.varint(-2))
    single = encode.encode(type, {"supplementalGroups": [1, 300, -2]})
    assert decode.decode(type, packed) == decode.decode(type, single) == {"supplementalGroups": [1, 300, -2]}


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, 2**31 - 1, -1, -(2**31), 2**63 - 1, -(2**63)])
def test_numbers(value: int) -> None:
    data = wire.varint(value)
    found, end = wire.read_varint(data, 0, len(data))
    assert (wire.signed(found), end) == (value, len(data))


def test_depth_is_bounded() -> None:
    type = type_of("CustomResourceDefinition", "apiextensions.k8s.io")
    props = CATALOG.struct("apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps")
    assert props is not None
    data = b""
    for _ in range(5000):
        data = wire.field(28, data)  # not
    with pytest.raises(WireError, match="max depth"):
        decode.decode(props, data)
    schema: dict[str, object] = {"type": "string"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    assert decode.decode(props, encode.encode(props, schema)) == schema
    assert encode.has_message(type)


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        pytest.param("1970-01-01T00:00:00Z", 0, 0, id="epoch"),
        pytest.param("1969-12-31T23:59:59Z", -1, 0, id="before"),
        pytest.param("2024-02-29T12:30:45Z", 1709209845, 0, id="leap day"),
        pytest.param("0001-01-01T00:00:01Z", -62135596799, 0, id="first"),
        pytest.param("9999-12-31T23:59:59Z", 253402300799, 0, id="last"),
    ],
)
def test_times(text: str, seconds: int, nanos: int) -> None:
    type = CATALOG.struct("apimachinery/pkg/apis/meta/v1.Condition")
    assert type is not None
    message = b"\x08" + wire.varint(seconds) + b"\x10" + wire.varint(nanos)
    assert wire.field(4, message) in encode.encode(type, {"lastTransitionTime": text})
    assert decode.decode(type, wire.field(4, message))["lastTransitionTime"] == text


@pytest.mark.parametrize(
    ("kind", "item", "reason"),
    [
        pytest.param("JSONSchemaProps", wire.field(8, wire.field(1, b"{")), "raw is not JSON", id="raw JSON"),
        pytest.param("JSONSchemaProps", b"\x49" + b"\xff" * 8, "unsupported value", id="not a number"),
    ],
)
def test_what_json_cannot_say(kind: str, item: bytes, reason: str) -> None:
    type = CATALOG.struct(f"apiextensions-apiserver/pkg/apis/apiextensions/v1.{kind}")
    assert type is not None
    with pytest.raises(WireError, match=reason):
        decode.decode(type, item)


def test_watch_frames() -> None:
    inner = envelope.seal("v1", "Status", b"")
    frame = envelope.event("ERROR", inner)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert frame[4:] == b"\x0a\x05ERROR" + wire.field(2, wire.field(1, inner))


def test_tables_have_no_message() -> None:
    table = CATALOG.type("", "v1", "Table")
    assert table is not None
    assert not encode.has_message(table)
    with pytest.raises(encode.NoMessage):
        encode.encode(table, {"metadata": {}})
