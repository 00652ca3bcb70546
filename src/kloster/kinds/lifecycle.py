"""What strategies do around a write: who owns status, and generations that do not follow the rule.

The rule (`Strategy.generation`) counts changes outside metadata and status. Kinds that deviate have
``generation=False`` and count for themselves here: the pipeline carries the old number over before `prepare_update`.
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.cloning import clone

_META_OF_STATUS = (
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
)


def clear_status(obj: Object) -> None:
    """Creating an object never sets its status."""
    obj.pop("status", None)


def keep_status(new: Object, old: Object) -> None:
    """Updating the main resource leaves status alone."""
    restore(new, old, "status")


def keep_spec(new: Object, old: Object) -> None:
    """Updating /status leaves spec alone. It is shared with `old`: nothing changes it after this."""
    if old.get("spec") is None:
        new.pop("spec", None)
    else:
        new["spec"] = old["spec"]


def keep_spec_and_metadata(new: Object, old: Object) -> None:
    """The same, and metadata (but for managedFields) is left alone as well: metav1.ResetObjectMetaForStatus."""
    restore(new, old, "spec")
    new_meta, old_meta = new.setdefault("metadata", {}), old.get("metadata") or {}
    for name in _META_OF_STATUS:
        restore(new_meta, old_meta, name)


def restore(new: Object, old: Object, name: str) -> None:
    if old.get(name) is None:
        new.pop(name, None)
    else:
        new[name] = clone(old[name])


def first_generation(obj: Object) -> None:
    obj.setdefault("metadata", {})["generation"] = 1


def next_generation(new: Object, old: Object) -> None:
    generation = (old.get("metadata") or {}).get("generation") or 0
    new.setdefault("metadata", {})["generation"] = generation + 1


def is_new(obj: Object) -> bool:
    """Whether an object under validation is being created: only stored objects have a resourceVersion."""
    return not obj["metadata"].get("resourceVersion")


def is_changed(new: Object, old: Object | None) -> bool:
    """Whether a write counts as a new generation: a creation, or an update that asks for something else."""
    return old is None or new["metadata"].get("generation") != old["metadata"].get("generation")
