"""Laws over all types: what is written is read again, and whatever is read, nothing breaks."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kloster.apimachinery.protobuf import decode, encode, envelope
from kloster.apimachinery.protobuf.wire import WireError
from kloster.apimachinery.schema import decode as json_decode
from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type
from kloster.kinds.catalog import MINORS, catalog

CATALOGS = [catalog(minor) for minor in (MINORS[0], "1.34", MINORS[-1])]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
TIMES = st.datetimes().map(lambda moment: f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}Z")
LEAVES: dict[Leaf, st.SearchStrategy[Any]] = {
    Leaf.STRING: TEXT,
    Leaf.INT32: st.integers(-(2**31), 2**31 - 1),
    Leaf.INT64: st.integers(-(2**63), 2**63 - 1),
    Leaf.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Leaf.BOOL: st.booleans(),
    Leaf.BYTES: st.binary(max_size=5).map(lambda data: base64.b64encode(data).decode()),
    Leaf.QUANTITY: st.sampled_from(["0", "1", "100m", "1Gi", "1.5", "-3", "2e3", "1000000", "0.001"]),
    Leaf.INT_OR_STRING: st.integers(-(2**31), 2**31 - 1) | TEXT,
    Leaf.TIME: TIMES,
    Leaf.MICRO_TIME: TIMES.map(lambda text: text[:-1] + ".123456Z"),
    Leaf.RAW: st.dictionaries(TEXT, JSON, max_size=2),
    Leaf.FIELDS: st.dictionaries(TEXT, JSON, max_size=2),
    Leaf.ANY: JSON.filter(lambda value: value is not None),
}


@st.composite
def values(draw: st.DrawFn, type: Type, depth: int = 5) -> Any:
    """JSON that `type` can hold."""
    if isinstance(type, Leaf):
        return draw(LEAVES[type])
    if isinstance(type, ListType):
        return [draw(values(type.item, depth - 1)) for _ in range(draw(st.integers(1, 2)))]
    if isinstance(type, MapType):
        return {key: draw(values(type.value, depth - 1)) for key in draw(st.sets(TEXT, max_size=2))}
    if isinstance(type, EitherType) and draw(st.booleans()):
        return draw(values(type.other, depth - 1))
    fields = [field for field in type.fields.values() if field.number and (depth > 0 or _plain(field))]
    chosen = draw(st.lists(st.sampled_from(fields), max_size=6, unique_by=lambda field: field.name)) if fields else []
    return {field.name: draw(values(field.type, depth - 1)) for field in chosen}


def _plain(field: Field) -> bool:
    return isinstance(field.type, Leaf)


def with_messages(known: Any) -> list[StructType]:
    found = (known.struct(name) for name in known.type_names)
    return [type for type in found if type is not None and encode.has_message(type)]


TYPES = st.sampled_from([type for known in CATALOGS for type in with_messages(known)])


def without_names(type: Type, value: Any) -> Any:
    """Without the kind and apiVersion of nested objects, which have no place in messages."""
    if isinstance(type, EitherType):
        return without_names(type.struct if isinstance(value, dict) else type.other, value)
    if isinstance(type, StructType) and isinstance(value, dict):
        return {
            name: without_names(type.fields[name].type, item)
            for name, item in value.items()
            if type.fields[name].number
        }
    if isinstance(type, ListType):
        return [without_names(type.item, item) for item in value]
    if isinstance(type, MapType):
        return {key: without_names(type.value, item) for key, item in value.items()}
    return value


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    type = data.draw(TYPES)
    item = data.draw(values(type))
    known = json_decode.decode(type, item).object
    message = encode.encode(type, known)
    again = decode.decode(type, message)
    assert again == without_names(type, known)
    assert [*again] == [*without_names(type, known)]  # in upstream's order
    assert encode.encode(type, again) == message


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_nothing_but_a_clean_error(data: st.DataObject) -> None:
    """A message with some bytes changed, lost or doubled, or no message at all."""
    type = data.draw(TYPES)
    item = json_decode.decode(type, data.draw(values(type))).object
    message = bytearray(encode.encode(type, item))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(message)))
        message[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        found = decode.decode(type, bytes(message))
    except WireError:
        return
    encode.encode(type, found)
    assert isinstance(json_decode.decode(type, found).object, dict)


@settings(max_examples=200, deadline=None)
@given(TYPES, st.binary(max_size=200), st.booleans())
def test_any_bytes(type: StructType, data: bytes, enveloped: bool) -> None:
    with contextlib.suppress(WireError):
        raw = envelope.open(b"k8s\0" + data).raw if enveloped else data
        assert isinstance(decode.decode(type, raw), dict)
