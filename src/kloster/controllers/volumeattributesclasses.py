"""volumeattributesclass-protection-controller: a class that claims or volumes have is not deleted under them.

https://kubernetes.io/docs/concepts/storage/volume-attributes-classes/
"""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES
from kloster.kinds.quota.scopes import attributes_classes
from kloster.runtime.api import Context, Controller, Key, Watch
from kloster.workloads.protection import protect

FINALIZER = "kubernetes.io/vac-protection"


def _of_volume(volume: Object | None) -> list[str]:
    name = ((volume or {}).get("spec") or {}).get("volumeAttributesClassName")
    return [name] if name else []


def is_used(context: Context, name: str) -> bool:
    volumes = context.source.list(PERSISTENT_VOLUMES)
    claims = context.source.list(PERSISTENT_VOLUME_CLAIMS)
    return any(name in _of_volume(volume) for volume in volumes) or any(
        name in attributes_classes(claim) for claim in claims
    )


async def reconcile(context: Context, key: Key) -> None:
    item = context.source.get(VOLUME_ATTRIBUTES_CLASSES, *key)
    if item is not None:
        await protect(context, VOLUME_ATTRIBUTES_CLASSES, item, FINALIZER, lambda: is_used(context, key.name))


def _freed(change: Change) -> Iterator[Key]:
    """The classes that a claim or volume had and has no longer."""
    of = attributes_classes if change.resource is PERSISTENT_VOLUME_CLAIMS else _of_volume
    before = set() if change.old is None else set(of(change.old))
    after = set() if change.new is None else set(of(change.new))
    return (Key("", name) for name in sorted(before - after))


CONTROLLER = Controller(
    "volumeattributesclass-protection-controller",
    (
        Watch(VOLUME_ATTRIBUTES_CLASSES),
        Watch(PERSISTENT_VOLUME_CLAIMS, keys=_freed),
        Watch(PERSISTENT_VOLUMES, keys=_freed),
    ),
    reconcile,
)
