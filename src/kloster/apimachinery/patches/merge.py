"""JSON merge patch (RFC 7396): an object is merged key by key, null removes a key, everything else replaces."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, golang
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import bad_request


def apply(document: Object, patch: Any) -> Object:
    """`document` after `patch`. Raises StatusError 400 if the patch is no object.

    What the patch leaves alone is shared with `document`, which does not change: copying a pod costs more than merging.
    """
    if not isinstance(patch, dict):
        if patch is None:
            raise bad_request("Invalid JSON Patch")
        sort = golang.json_sort(patch)
        text = f"json: cannot unmarshal {sort} into Go value of type map[string]interface {{}}"
        raise bad_request(f"error decoding patch: {text}")
    return _merged(document, patch)


def _merged(document: Object, patch: Object) -> Object:
    out = {key: value for key, value in document.items() if key not in patch}
    for key, value in patch.items():
        if value is None:
            continue
        current = document.get(key)
        if isinstance(current, dict):
            # A list that replaces an object keeps the nulls inside it: upstream prunes only what it adds.
            out[key] = _merged(current, value) if isinstance(value, dict) else clone(value)
        else:
            out[key] = _without_nulls(value)
    return out


def _without_nulls(value: Any) -> Any:
    """A copy without the keys that are null. Nulls that are items of a list stay."""
    if isinstance(value, dict):
        return {
            key: _without_nulls(inner) if inner.__class__ in _DEEP else inner
            for key, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list):
        return [_without_nulls(inner) if inner.__class__ in _DEEP else inner for inner in value]
    return value


_DEEP = (dict, list)
