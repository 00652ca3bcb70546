"""What the host says, in the tenant's words: messages and statuses without the host's names.

A text of the host may name the host object, what it refers to, its namespace and its UID: all of them have a virtual
counterpart and are replaced by it. What has none (the taints of the host's nodes, other pods) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.syncer import references
from kloster.syncer.names import Tenancy

Names = Sequence[tuple[str, str]]
"""(host text, virtual text), the longest host text first."""

_TAINTS = re.compile(r"(untolerated taints?(?:\(s\))?) \{[^{}]*\}")
_UNCHANGED = ("containerID", "image", "imageID")


def names(tenancy: Tenancy, virtual: Object, host: Object | None = None) -> Names:
    """Everything that may be replaced in texts about `virtual`."""
    metadata = virtual["metadata"]
    namespace = metadata.get("namespace", "")
    known = {tenancy.name(metadata["name"], namespace): metadata["name"]}
    if virtual.get("kind") == "Pod":
        for _, name in references.of_pod(virtual):
            known[tenancy.name(name, namespace)] = name
        token = tenancy.token_name(metadata["name"], namespace, metadata["uid"])
        known[token] = f"{metadata['name']}-token"
    known[tenancy.namespace] = namespace
    if host is not None:
        known[host["metadata"]["uid"]] = metadata["uid"]
        if virtual.get("kind") == "PersistentVolumeClaim":
            made, volume = f"pvc-{metadata['uid']}", host["spec"].get("volumeName")
            known[f"pvc-{host['metadata']['uid']}"] = made  # what a provisioner calls it, before and after it is bound
            if volume:
                known[volume] = virtual["spec"].get("volumeName") or made
    return sorted(known.items(), key=lambda pair: -len(pair[0]))


def clean(text: str, known: Names) -> str:
    """One text."""
    for old, new in known:
        if old in text:
            text = _replaced(text, old, new)
    return _TAINTS.sub(r"\1", text) if "taint" in text else text


def clean_all(value: Any, known: Names, keep: Iterable[str] = _UNCHANGED) -> Any:
    """A status or the like: itself, if nothing in it is to be replaced. Fields in `keep` are no texts."""
    text = orjson.dumps(value)
    if b"taint" not in text and not any(old.encode() in text for old, _ in known):
        return value
    return _cleaned(value, known, keep)


def _cleaned(value: Any, known: Names, keep: Iterable[str]) -> Any:
    if isinstance(value, dict):
        return {key: inner if key in keep else _cleaned(inner, known, keep) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner, known, keep) for inner in value]
    return clean(value, known) if isinstance(value, str) else value


_INSIDE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _replaced(text: str, old: str, new: str) -> str:
    """`old` replaced where it is not a part of a longer name (``vc-dev`` in ``vc-dev-2`` or ``vc-dev.example``)."""
    parts: list[str] = []
    start = 0
    while (found := text.find(old, start)) >= 0:
        end = found + len(old)
        before, after, beyond = text[found - 1 : found], text[end : end + 1], text[end + 1 : end + 2]
        inside = before in _INSIDE or before == "." or after in _INSIDE or (after == "." and beyond in _INSIDE)
        parts += [text[start:found], old if inside else new]
        start = end
    return "".join([*parts, text[start:]])
