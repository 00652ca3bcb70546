"""The bridge from client-side to server-side apply.

kubectl's client-side apply leaves the applied object in an annotation. Who then applies with field manager `kubectl`
gets no conflicts about fields that still hold what the annotation says, and the annotation is kept up to date, so that
going back to client-side apply works.
Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply
"""

from __future__ import annotations

import json
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.apply import fieldset
from kloster.apimachinery.apply.compare import compare
from kloster.apimachinery.apply.fieldset import FieldSet
from kloster.apimachinery.apply.shape import validate
from kloster.apimachinery.apply.typed import ItemError, fieldset_of
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.schema.model import Type

MANAGER = "kubectl"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_ANNOTATION_BYTES = 256 * 1024
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def _annotations(value: Object) -> dict[str, str]:
    metadata = value.get("metadata")
    return (metadata.get("annotations") if isinstance(metadata, dict) else None) or {}


def allowed(live: Object, type: Type, api_version: str) -> FieldSet:
    """The paths whose live value is still the one in the annotation. Empty if there is none that can be read."""
    text = _annotations(live).get(ANNOTATION)
    if not text:
        return {}
    try:
        last: Any = json.loads(text)
        if not isinstance(last, dict) or last.get("apiVersion") != api_version or any(validate(last, type)):
            return {}
        stated = fieldset_of(last, type)
        changes = compare(last, live, type)
    except (ItemError, ValueError):
        return {}
    for tree in changes:
        stated = fieldset.difference(stated, tree)
    return stated


def refresh(result: Object, patch: Object) -> None:
    """Writes the applied object into the annotation, where there is one; drops it if it has become too large."""
    annotations = _annotations(result)
    if not annotations.get(ANNOTATION):
        return
    applied = clone(patch)
    if isinstance(applied.get("metadata"), dict) and isinstance(applied["metadata"].get("annotations"), dict):
        applied["metadata"]["annotations"].pop(ANNOTATION, None)
        if not applied["metadata"]["annotations"]:
            del applied["metadata"]["annotations"]
    text = json.dumps(applied, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character, escaped in _HTML.items():
        text = text.replace(character, escaped)
    annotations[ANNOTATION] = text + "\n"
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _MOST_ANNOTATION_BYTES:
        del annotations[ANNOTATION]
