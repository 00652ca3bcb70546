"""Keeping what we own on the host as it should be, and leaving alone what others added there.

`differs` walks only the fields of the desired object: values that the host's defaulting or webhooks put elsewhere are
none of our business, a hand edit of ours is healed. Lists are ours as a whole, except that the host may have filled in
more fields in items (ports get a nodePort, ...): items are compared in order, by the fields we set.
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object


def differs(desired: Any, live: Any) -> bool:
    """Whether something that `desired` sets is otherwise in `live`."""
    if isinstance(desired, dict):
        if not desired:
            return False
        if not isinstance(live, dict):
            return True
        return any(differs(value, live.get(key)) for key, value in desired.items())
    if isinstance(desired, list):
        if not desired:
            return bool(live)
        if not isinstance(live, list) or len(live) != len(desired):
            return True
        return any(differs(one, other) for one, other in zip(desired, live, strict=True))
    return bool(desired != live)


def merge_patch(old: Object, new: Object) -> Object:
    """The JSON merge patch that turns `old` into `new`."""
    patch: Object = {}
    for key, value in new.items():
        before = old.get(key)
        if key not in old:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(before, dict):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif value != before:
            patch[key] = value
    patch.update({key: None for key in old if key not in new})
    return patch
