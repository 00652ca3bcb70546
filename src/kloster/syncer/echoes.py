"""Changes that are nothing but what the syncer is writing at this moment.

Within one process a write is seen by those who follow the cluster before its answer comes. Whoever decided on the write
has decided on what comes of it, so looking once more would find nothing: on a pod's way to running that were three of
eight looks. A change that is in any way other than expected is looked at as ever.
"""

from __future__ import annotations

from collections.abc import Callable

from kloster.apimachinery import Object
from kloster.apimachinery.patches import merge
from kloster.client.api import Change, Resource
from kloster.client.resources import PODS
from kloster.syncer.actions import Action, BindVirtual, CreateHost, PatchVirtual

Echo = Callable[[Change, bool], bool]
"""Whether a change (of the host object, or else of the virtual one) is the expected one."""

_LOOKED_AT = ("uid", "labels", "annotations", "deletionTimestamp", "finalizers")


def echo_of(resource: Resource, action: Action, virtual: Object | None) -> Echo | None:
    """How the change is recognized that `action` will make; None where what it makes has to be looked at."""
    match action:
        case PatchVirtual(patch, "merge", "status") if virtual is not None and set(patch) == {"status"}:
            return _status(merge.apply(_without_nulls(virtual), patch["status"]))
        case BindVirtual(node):
            return _bound(node)
        case CreateHost(body) if resource == PODS and not body["spec"].get("readinessGates"):
            return _created(body)
    return None


def _status(wanted: Object) -> Echo:
    def is_echo(change: Change, on_host: bool) -> bool:
        old, new = change.old, change.new
        if on_host or old is None or new is None:
            return False
        return _without_nulls(new) == wanted and new["spec"] == old["spec"] and _alike(old, new)

    return is_echo


def _without_nulls(pod: Object) -> Object:
    """Its status; nulls do not travel in merge patches."""
    return merge.apply({}, pod.get("status") or {})


def _bound(node: str) -> Echo:
    def is_echo(change: Change, on_host: bool) -> bool:
        old, new = change.old, change.new
        if on_host or old is None or new is None:
            return False
        return bool(new["spec"] == {**old["spec"], "nodeName": node}) and _alike(old, new)

    return is_echo


def _created(body: Object) -> Echo:
    def is_echo(change: Change, on_host: bool) -> bool:
        new = change.new
        if not on_host or change.old is not None or new is None or new["spec"].get("nodeName"):
            return False
        wanted, live = body["metadata"], new["metadata"]
        same = (wanted.get(name) == live.get(name) for name in ("name", "labels", "annotations"))
        return all(same) and not live.get("deletionTimestamp")

    return is_echo


def _alike(old: Object, new: Object) -> bool:
    return all(old["metadata"].get(name) == new["metadata"].get(name) for name in _LOOKED_AT)
