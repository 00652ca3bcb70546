"""CustomResourceDefinitions: their status, and their end.

Not an admission plugin upstream but four controllers inside its API server (naming, establishing, approval,
finalizing). What they do afterwards happens here in the transaction of the write that calls for it: a definition is
established when the answer to its creation is sent, names that are let go are granted to whoever waits for them, and a
deleted definition takes its objects with it. Objects with finalizers hold it up: then it stays, terminating, until the
last of them is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, apply, errors
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.structural import formats
from kloster.apiserver import storage
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin
from kloster.apiserver.resources import Served
from kloster.kinds import metadata, names
from kloster.kinds.apiextensions import status
from kloster.stores.api import Key, Operation, Remove

DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"


def _settle(attempt: Attempt) -> None:
    """Sets the status of a definition that is written, and of those that its names matter to.

    A dry run shows what upstream would: there controllers set the status, afterwards.
    """
    if attempt.dry_run:
        return
    item, now = attempt.item, attempt.cluster.clock.now()
    others = _others(attempt, item)
    _settle_one(attempt, item, others, now)
    attempt.also.extend(_resettled(attempt, [item, *others], now))


def _settle_one(attempt: Attempt, item: Object, others: list[Object], now: float) -> None:
    """Settles a definition's status; the API server owns what it changes in it."""
    before = clone(item.get("status") or {})
    status.settle(item, others, now)
    after = item.get("status") or {}
    if after == before:
        return
    own = attempt.cluster.resources.stored_as(DEFINITIONS)
    assert own is not None
    about = {"apiVersion": own.kind.api_version, "kind": own.kind.kind, "metadata": item["metadata"]}
    names = {"plural": "", "kind": ""}  # as upstream writes the status of a new definition
    fields = apply.track_update(
        {**about, "status": {"acceptedNames": names, **before}},
        {**about, "status": after},
        own.kind.type,
        manager="kube-apiserver",
        api_version=own.kind.api_version,
        now=rfc3339(now),
        subresource="status",
    )
    if fields:
        item["metadata"]["managedFields"] = fields


def _others(attempt: Attempt, definition: Object) -> list[Object]:
    """The other definitions of the group."""
    group, name = definition["spec"]["group"], definition["metadata"]["name"]
    return [
        other
        for other in attempt.scan(DEFINITIONS)
        if other["spec"]["group"] == group and other["metadata"]["name"] != name
    ]


def _resettled(attempt: Attempt, group: list[Object], now: float) -> Sequence[Operation]:
    """Grants names to those of the group that had been refused them."""
    operations: list[Operation] = []
    own = attempt.cluster.resources.stored_as(DEFINITIONS)
    assert own is not None
    for place, other in enumerate(group):
        refused = status.condition(other, status.NAMES_ACCEPTED)
        if other is attempt.item or refused is None or refused.get("status") != "False":
            continue
        settled = clone(other)
        _settle_one(attempt, settled, [one for one in group if one is not other], now)
        if settled != other:
            group[place] = settled
            operations.append(storage.put(own, settled))
    return operations


_WARNS_OF_FORMATS_SINCE = 34


def _warn(attempt: Attempt) -> None:
    """Formats that nobody checks are told once, when they come."""
    minor = int(attempt.cluster.catalog.minor.partition(".")[2])
    if attempt.subresource or minor < _WARNS_OF_FORMATS_SINCE:
        return
    known = set(_formats(attempt.old, minor)) if attempt.old is not None else set()
    fresh = (name for name in _formats(attempt.item, minor) if name not in known)
    attempt.warnings.extend(f"unrecognized format {json.dumps(name)}" for name in fresh)


def _formats(definition: Object, minor: int) -> Iterator[str]:
    for version in definition["spec"].get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            yield from formats.unrecognized(schema, minor)


PLUGIN = Plugin(
    name="CustomResourceDefinitions",
    validate=_warn,
    operations=frozenset({CREATE, UPDATE}),
    resources=frozenset({DEFINITIONS}),
    subresources=frozenset({"", "status"}),
    allocate=_settle,
)


# --- objects ------------------------------------------------------------------------------------------------------


def _warn_of_finalizers(attempt: Attempt) -> None:
    """New finalizers of custom resources should say whose they are."""
    if attempt.served.kind.builtin:
        return
    before = (attempt.old or {}).get("metadata", {}).get("finalizers") or ()
    for name in sorted(set(attempt.item["metadata"].get("finalizers") or ()) - set(before)):
        attempt.warnings.extend(_finalizer_warnings(name))


def _finalizer_warnings(name: str) -> Iterator[str]:
    at = f"metadata.finalizers: {json.dumps(name, ensure_ascii=False)}"
    yield from (f"{at}: {text}" for text in names.qualified_name(name))
    if "/" not in name and name not in metadata.STANDARD_FINALIZERS:
        path = " including a path (/)" if "." in name else ""
        yield (
            f"{at}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer "
            "writers"
        )


def _refuse_late(attempt: Attempt) -> None:
    """Nothing new comes once the definition is being deleted."""
    served = attempt.served
    if served.terminating and attempt.operation == CREATE:
        text = "create not allowed while custom resource definition is terminating"
        raise errors.forbidden(served.group, served.plural, attempt.name, text)


OBJECTS = Plugin(
    name="CustomResources",
    operations=frozenset({CREATE, UPDATE}),
    mutate=_refuse_late,
    validate=_warn_of_finalizers,
)


# --- the end ------------------------------------------------------------------------------------------------------


def terminate(attempt: Attempt, item: Object) -> Sequence[Operation]:
    """Deletes the definition `item` with its objects, or marks it until they are gone.

    The definition is first written as terminating, so that whoever watches sees why its objects vanish.
    """
    now = attempt.cluster.clock.now()
    meta = item["metadata"]
    if meta.get("deletionTimestamp") is None:
        meta["deletionTimestamp"] = rfc3339(now)
        if status.CLEANUP not in (meta.get("finalizers") or ()):
            meta["finalizers"] = [*(meta.get("finalizers") or ()), status.CLEANUP]
    served = _stored(attempt, item)
    removed, left = ([], False) if served is None else _remove_objects(attempt, served, now)
    reason, text = "InstanceDeletionInProgress", "CustomResource deletion is in progress"
    status.set_condition(item, status.TERMINATING, "True", reason, text, now)
    own: Operation = storage.put(attempt.served, item)
    if left:
        return [own, *removed]
    return [own, *removed, *_finish(attempt, attempt.served, item)]


def _finish(attempt: Attempt, served: Served, item: Object) -> Sequence[Operation]:
    """Takes the cleanup finalizer away; the definition goes unless somebody else's finalizer holds it."""
    done, now = clone(item), attempt.cluster.clock.now()
    meta = done["metadata"]
    text = "removed all instances"
    status.set_condition(done, status.TERMINATING, "False", "InstanceDeletionCompleted", text, now)
    rest = [name for name in meta.get("finalizers") or () if name != status.CLEANUP]
    if rest:
        meta["finalizers"] = rest
        return [storage.put(served, done)]
    return [Remove(Key(DEFINITIONS, "", meta["name"])), *_resettled(attempt, _others(attempt, item), now)]


def _stored(attempt: Attempt, definition: Object) -> Served | None:
    spec = definition["spec"]
    return attempt.cluster.resources.stored_as(f"{spec['group']}/{spec['names']['plural']}")


def _remove_objects(attempt: Attempt, served: Served, now: float) -> tuple[list[Operation], bool]:
    """Removes or marks all objects: (operations, whether some wait for their finalizers)."""
    operations: list[Operation] = []
    left = False
    for entry in attempt.view.scan(served.id):
        item = attempt.cluster.forms.object(served, entry)
        meta = item["metadata"]
        if not meta.get("finalizers"):
            operations.append(Remove(entry.key))
            continue
        left = True
        if meta.get("deletionTimestamp") is None:
            marked = storage.thaw(served, entry)
            marked["metadata"].update(deletionTimestamp=rfc3339(now), deletionGracePeriodSeconds=0)
            if marked["metadata"].get("generation"):
                marked["metadata"]["generation"] += 1
            operations.append(storage.put(served, marked))
    return operations, left


def released(attempt: Attempt) -> Sequence[Operation]:
    """When the last object of a terminating definition goes, so does the definition."""
    served = attempt.served
    own = attempt.cluster.resources.stored_as(DEFINITIONS)
    name = f"{served.plural}.{served.group}"
    definition = attempt.read(DEFINITIONS, "", name)
    if own is None or definition is None or definition["metadata"].get("deletionTimestamp") is None:
        return ()
    key = storage.key_of(served, attempt.namespace, attempt.name)
    if any(entry.key != key for entry in attempt.view.scan(served.id)):
        return ()
    return _finish(attempt, own, definition)
