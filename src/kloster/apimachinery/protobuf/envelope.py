"""What stands around a message: the magic bytes, what it is, and frames of a watch.

k8s\\0 · runtime.Unknown {typeMeta {apiVersion, kind}, raw, contentEncoding, contentType}
watch  length (4 bytes, big endian) · WatchEvent {type, object {raw: the enveloped object}}
"""

from __future__ import annotations

from dataclasses import dataclass

from kloster.apimachinery.protobuf import wire
from kloster.apimachinery.protobuf.wire import WireError

MAGIC = b"k8s\0"
_REST = b"\x1a\x00\x22\x00"  # contentEncoding and contentType: empty


@dataclass(frozen=True, slots=True)
class Envelope:
    api_version: str
    kind: str
    raw: bytes


def seal(api_version: str, kind: str, raw: bytes) -> bytes:
    """An enveloped message."""
    return MAGIC + header(api_version, kind) + wire.field(2, raw) + _REST


def header(api_version: str, kind: str) -> bytes:
    """typeMeta, the first field of an envelope."""
    return wire.field(1, wire.field(1, api_version.encode()) + wire.field(2, kind.encode()))


def open(data: bytes) -> Envelope:
    """Raises WireError in upstream's words."""
    if not data:
        raise WireError("empty data")
    if not data.startswith(MAGIC):
        listed = " ".join(str(byte) for byte in MAGIC)
        raise WireError(f"provided data does not appear to be a protobuf message, expected prefix [{listed}]")
    if len(data) == len(MAGIC):
        raise WireError("empty body")
    found = _texts(data, len(MAGIC), len(data), "Unknown", ("TypeMeta", "Raw", "ContentEncoding", "ContentType"))
    meta = found.get(1, b"")
    names = _texts(meta, 0, len(meta), "TypeMeta", ("APIVersion", "Kind"))
    api_version, kind = (names.get(number, b"").decode("utf-8", "replace") for number in (1, 2))
    return Envelope(api_version, kind, found.get(2, b""))


def _texts(data: bytes, at: int, end: int, message: str, names: tuple[str, ...]) -> dict[int, bytes]:
    """The fields of a message all of whose fields have a length. Those that are no message yet are merged by Go."""
    found: dict[int, bytes] = {}
    while at < end:
        number, type, after = wire.read_tag(data, at, end, message)
        if number > len(names):
            at = wire.skip(data, at, end)
            continue
        if type != wire.BYTES:
            raise WireError(f"proto: wrong wireType = {type} for field {names[number - 1]}")
        begin, at = wire.read_span(data, after, end)
        found[number] = data[begin:at]
    return found


def event(type: str, enveloped: bytes) -> bytes:
    """A framed watch event."""
    message = wire.field(1, type.encode()) + wire.field(2, wire.field(1, enveloped))
    return len(message).to_bytes(4, "big") + message
