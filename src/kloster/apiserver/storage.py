"""Objects as they are kept: from an object to a store's operation, from an entry to an object, and between versions.

An object is stored in its kind's storage version, encoded in upstream's field order, without apiVersion and kind,
and split at the place of its resourceVersion, which is known only when the write is published. Reading in the
storage version needs no decoding at all; another served version decodes, converts and encodes (`forms` keeps that).

`Entry.version` is a stamp: the storage version and what it was encoded with (Kubernetes minor, or generation of a
custom resource's schema). When the stamp is not the present one, the bytes may lack newly defaulted fields or lie in
a version no longer stored: they are converted and defaulted on reading, and rewritten by the next write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.schema import encode
from kloster.apimachinery.schema.model import StructType
from kloster.apiserver.resources import Served
from kloster.kinds.catalog import Kind
from kloster.stores.api import Entry, Key, Put

_NOTHING: dict[str, str] = {}  # shared by all entries without labels or fields; never changed


class Parts(NamedTuple):
    """An encoded object: ``{ + head + resourceVersion + tail``; kind and apiVersion go in after the brace."""

    head: bytes
    tail: bytes


def key_of(served: Served, namespace: str, name: str) -> Key:
    return Key(served.id, namespace if served.namespaced else "", name)


def split(kind: Kind, item: Object) -> Parts:
    """`item` encoded as `kind`, without apiVersion and kind, open at its resourceVersion. Does not change `item`."""
    return Parts(*encode.split(kind.type, item))


Keep = Callable[[bytes, Object], object]


def put(served: Served, item: Object, old: Object | None = None, keep: Keep | None = None) -> Put:
    """The operation that writes `item`, which is in the storage version. `item` must not be changed afterwards.

    old        what `item` replaces, if that was written with the present schema: what they share is not looked at
    keep       is given the entry's tail and the object that `thaw` would make of the entry, but for its resourceVersion
    """
    metadata = item["metadata"]
    if served.seal is not None and not served.direct:
        item = served.seal(item)
    parts = encode.canonical(served.storage.type, item, old)
    if keep is not None and parts.object is not None:
        keep(parts.tail, parts.object)
    readers = served.strategy.fields
    fields = {path: read(item) for path, read in readers.items()} if readers else _NOTHING
    labels = metadata.get("labels")
    key = key_of(served, metadata.get("namespace", ""), metadata["name"])
    return Put(key, parts.head, parts.tail, dict(labels) if labels else _NOTHING, fields, served.stamp)


def unchanged(entry: Entry, operation: Put) -> bool:
    """Whether writing would change nothing: then nothing is written and the resourceVersion stays."""
    return entry.tail == operation.tail and entry.head == operation.head and entry.version == operation.version


def item_bytes(entry: Entry, prefix: bytes, parts: Parts, revision: int = 0) -> bytes:
    """A complete document after `prefix`, the opening brace with or without what goes first.

    `revision` differs from the entry's for the last state of something deleted.
    """
    return b"".join((prefix, parts.head, b"%d" % (revision or entry.revision), parts.tail))


def thaw(served: Served, entry: Entry, revision: int = 0) -> Object:
    """The object in the storage version, complete with apiVersion, kind and resourceVersion. A fresh copy."""
    item: Object = orjson.loads(item_bytes(entry, served.storage_prefix, Parts(entry.head, entry.tail), revision))
    if entry.version != served.stamp:
        stored = _stored_version(served, entry)
        item = convert(served, item, stored, served.storage.api_version)
        if served.seal is not None:
            item = served.seal(item)
            if stored != served.storage.api_version:
                return item  # the defaults of a custom resource are those of the version that it was stored in
        served.strategy.default(item)
    return item


def nominal(served: Served, entry: Entry) -> Object:
    """The object as it was stored, whatever the version, in the name of the storage version."""
    item: Object = orjson.loads(item_bytes(entry, served.storage_prefix, Parts(entry.head, entry.tail)))
    return item


def _stored_version(served: Served, entry: Entry) -> str:
    version = entry.version.partition("@")[0]
    group = served.storage.group
    return f"{group}/{version}" if group else version


def convert(served: Served, item: Object, source: str, target: str) -> Object:
    """`item` from one api version into another. Kinds without a rule only change their name."""
    if source == target:
        return item
    rule = _rule(served, source, target)
    if rule is not None:
        item = rule(item)
    item["apiVersion"] = target
    return item


def _rule(served: Served, source: str, target: str) -> Callable[[Object], Object] | None:
    rules = served.strategy.convert
    if not rules:
        return None
    short = (source.rpartition("/")[2], target.rpartition("/")[2])
    return rules.get((source, target)) or rules.get(short)


def to_storage(served: Served, item: Object) -> Object:
    """From the version of the request to the storage version."""
    return item if served.direct else convert(served, item, served.kind.api_version, served.storage.api_version)


def from_storage(served: Served, item: Object) -> Object:
    """From the storage version to the version of the request."""
    return item if served.direct else convert(served, item, served.storage.api_version, served.kind.api_version)


def document(served: Served, item: Object) -> bytes:
    """A complete object (in the storage version) as JSON in the version of the request."""
    shown = from_storage(served, item)
    kind = served.kind
    return encode.dumps(kind.type, {**shown, "kind": kind.kind, "apiVersion": kind.api_version})


def metadata_bytes(served: Served, metadata: Object) -> bytes:
    """Metadata alone, as the Go struct that it is even in custom resources, where it stands as a sorted map."""
    if served.kind.builtin:
        return orjson.dumps(metadata)
    type_ = served.kind.type.fields["metadata"].type
    assert isinstance(type_, StructType)
    return encode.dumps(type_, metadata)


def missing(served: Served, name: str) -> errors.StatusError:
    """404 for an object."""
    return errors.not_found(served.group, served.plural, name)
