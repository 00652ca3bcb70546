"""Names derived from contents: pod-template-hash and controller-revision-hash.

Upstream hashes Go's dump of a structure (FNV-1a, 32 bits), which nobody else can reproduce. Here it is the same hash
over canonical JSON, in the same form: at most ten characters of an alphabet without vowels, so that no words occur.
The values differ from upstream's; they are stable within Kloster.
"""

from __future__ import annotations

from typing import Any

import orjson

from kloster.apimachinery import Object

POD_TEMPLATE_HASH = "pod-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def fnv32a(data: bytes, value: int = 0x811C9DC5) -> int:
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def safe_encode(text: str) -> str:
    """k8s.io/apimachinery/pkg/util/rand.SafeEncodeString."""
    return "".join(_ALPHABET[ord(character) % len(_ALPHABET)] for character in text)


def digest(content: Any, collisions: int | None = None) -> str:
    """The hash of a template; `collisions` (status.collisionCount) makes another one of the same content."""
    data = orjson.dumps(normal(content), option=orjson.OPT_SORT_KEYS)
    value = fnv32a(data)
    if collisions is not None:
        value = fnv32a(collisions.to_bytes(8, "little"), value)
    return safe_encode(str(value))


def normal(content: Any) -> Any:
    """Without empty maps, empty lists and nulls: they mean the same as absence."""
    if isinstance(content, dict):
        kept = {key: normal(value) for key, value in content.items()}
        return {key: value for key, value in kept.items() if value is not None and value != {} and value != []}
    if isinstance(content, list):
        return [normal(value) for value in content]
    return content


def same_template(one: Object, other: Object) -> bool:
    """Whether two pod templates are equal but for the pod-template-hash label."""
    return one is other or bool(normal(_unlabelled(one)) == normal(_unlabelled(other)))


def _unlabelled(template: Object) -> Object:
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != POD_TEMPLATE_HASH}
    return {**template, "metadata": {**metadata, "labels": labels, "creationTimestamp": None}}
