"""The usual decision for kinds whose host object is wholly ours: create, heal, delete."""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.syncer.actions import Action, CreateHost, DeleteHost, PatchHost
from kloster.syncer.drift import differs
from kloster.syncer.names import CLUSTER, NAMESPACE, TENANT_LABEL_PREFIX, UID

SCOPE_LABELS = (CLUSTER, NAMESPACE)


def reconcile(
    virtual: Object | None, host: Object | None, wanted: Object | None, whole: Iterable[str] = ()
) -> list[Action]:
    """What brings the host object to `wanted` (None: it must not exist).

    `whole`: top-level fields that are maps of free keys (data), where surplus keys on the host are ours to remove.
    """
    if wanted is None or virtual is None or virtual["metadata"].get("deletionTimestamp"):
        return [] if host is None or _leaving(host) else [_delete(host)]
    if host is None:
        return [CreateHost(wanted)]
    if _leaving(host):
        return []
    if host["metadata"]["annotations"].get(UID) != virtual["metadata"]["uid"]:
        return [_delete(host)]
    patch = _patch(wanted, host, whole)
    if patch is None:
        return []
    metadata = host["metadata"]
    return [PatchHost(metadata["name"], metadata["uid"], patch, "merge")]


def _leaving(host: Object) -> bool:
    return bool(host["metadata"].get("deletionTimestamp"))


def _delete(host: Object) -> DeleteHost:
    return DeleteHost(host["metadata"]["name"], host["metadata"]["uid"])


def _patch(wanted: Object, host: Object, whole: Iterable[str]) -> Object | None:
    """A merge patch of the fields that differ, or None. Unknown metadata of the host stays."""
    patch: Object = {}
    for field, value in wanted.items():
        if field in ("apiVersion", "kind", "metadata"):
            continue
        live = host.get(field)
        if field in whole:
            if (live or {}) != value:
                patch[field] = {**{key: None for key in live or {} if key not in value}, **value} or None
        elif isinstance(value, dict):
            inner = {
                key: _replacing(part, (live or {}).get(key))
                for key, part in value.items()
                if differs(part, (live or {}).get(key)) or _surplus(key, part, (live or {}).get(key))
            }
            if inner:
                patch[field] = inner
        elif differs(value, live):
            patch[field] = value
    metadata = _metadata(wanted["metadata"], host["metadata"])
    if metadata:
        patch["metadata"] = metadata
    return patch or None


def _surplus(key: str, wanted: object, live: object) -> bool:
    """A selector must be exactly ours: a key too many would select less."""
    return key == "selector" and wanted != live


def _replacing(value: object, live: object) -> object:
    if isinstance(value, dict) and isinstance(live, dict):
        return {**{key: None for key in live if key not in value}, **value}
    return value


def _metadata(wanted: Object, live: Object) -> Object:
    patch: Object = {}
    for field in ("labels", "annotations"):
        have = live.get(field) or {}
        want = wanted.get(field) or {}
        changed = {key: value for key, value in want.items() if have.get(key) != value}
        changed.update({key: None for key in have if key not in want and _ours(key)})
        if changed:
            patch[field] = changed
    return patch


def _ours(key: str) -> bool:
    return key.startswith(TENANT_LABEL_PREFIX)
