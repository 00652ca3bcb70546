"""What create, update and patch have in common: parameters, preparation, validation, and the store's operation.

A write is decided inside `Store.transact`, synchronously, against the newest state there is, the writes in flight
included. So what is read, checked and allocated there cannot be overtaken: a patch never has to be tried again, and
two writers cannot take the same name, address or precondition. A long decision is made in a thread instead, and again
if it was overtaken (`aside`); what it does with things that are not its own it has done in the loop (`on_loop`).

The order follows upstream, because it decides which of several errors is told: ownership of fields is tracked, then
admission changes the object, then the kind's strategy prepares and validates it, then admission validates, then
addresses and the like are allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import orjson

from kloster.aio.aside import on_loop
from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, apply, errors
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import FieldError, StatusError
from kloster.apiserver import admission, answers, names, storage
from kloster.apiserver.admission import service_allocation, webhooks
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Shape
from kloster.apiserver.admission.webhooks import Exchange
from kloster.apiserver.call import Call
from kloster.apiserver.facets import MAIN, Facet
from kloster.apiserver.resources import Served
from kloster.apiserver.write_options import WriteOptions, manager_of
from kloster.client.transport import Response
from kloster.kinds import metadata, rechecks
from kloster.stores.api import Entry, Event, Operation, Put, Remove, View


@dataclass(slots=True)
class Outcome:
    """What a decision came to, for the answer.

    item      the object, when nothing was stored (a dry run)
    entry     the object as it was before, when it stays as it is
    created   there was none before
    deleted   the write removed the last finalizer: `item` is the last state
    """

    item: Object = field(default_factory=dict)
    entry: Entry | None = None
    created: bool = False
    deleted: bool = False

    def clear(self) -> None:
        """The decision is made anew."""
        self.entry, self.created, self.deleted = None, False, False


# --- creating -----------------------------------------------------------------------------------------------------


def decide_create(
    call: Call, view: View, item: Object, options: WriteOptions, outcome: Outcome, *, tracked: bool = False
) -> Sequence[Operation]:
    """Creates `item` (in the storage version, defaulted). `tracked`: its managedFields are complete already."""
    served, cluster = call.resource, call.cluster
    outcome.clear()
    meta = item["metadata"]
    exchange = _exchange(call, view, CREATE, meta.get("namespace", ""), meta.get("name", ""), base=0)
    if exchange is not None:
        item = clone(item)  # the decision may be made several times
        meta = item["metadata"]
    for name in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
        meta.pop(name, None)
    _dedup_owners(call, meta)
    if not tracked:
        track(call, None, item, manager_of(call, options), served, MAIN)
    attempt = _attempt(call, view, CREATE, meta.get("namespace", ""), meta.get("name", ""), item, options)
    on_loop(admission.mutate, attempt)
    if exchange is not None:
        on_loop(exchange.mutate, attempt, options.told(CREATE), admission.mutate)
        item = attempt.item
        _check_place(attempt)
        _dedup_owners(call, item["metadata"])
    meta = item["metadata"]
    meta["uid"] = cluster.random.uid()
    meta["creationTimestamp"] = rfc3339(cluster.clock.now())
    if meta.get("generateName") and not meta.get("name"):
        meta["name"] = _free_name(call, view, meta)
    if exchange is not None:
        _keep_identity(exchange.identity, meta)
    if served.strategy.generation:
        meta["generation"] = 1
    served.strategy.prepare_create(item)
    _refuse(call, served, meta.get("name", ""), _create_findings(served, item))
    _warn(call, item, None)
    attempt.name = meta["name"]
    on_loop(admission.validate, attempt)
    if exchange is not None:
        on_loop(exchange.validate, attempt, options.told(CREATE))
    if meta.get("resourceVersion") and not options.dry_run:
        raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
    key = storage.key_of(served, meta.get("namespace", ""), meta["name"])
    found = view.get(key)
    if found is not None:
        raise _exists(call, served, found)
    on_loop(admission.allocate, attempt)
    on_loop(admission.charge, attempt)
    if served.seal is not None and served.strategy.status:
        served.strategy.default(item)  # as reading it back does: with the status, its default was taken away
    outcome.item, outcome.created = item, True
    return [] if options.dry_run else [put(call, served, item), *attempt.also]


def put(call: Call, served: Served, item: Object, old: Object | None = None) -> Put:
    """As `storage.put`; whoever follows the cluster's changes need not decode the entry."""
    forms = call.cluster.forms
    return storage.put(served, item, old, lambda tail, found: on_loop(forms.expect, tail, found))


def _attempt(
    call: Call,
    view: View,
    operation: str,
    namespace: str,
    name: str,
    item: Object,
    options: WriteOptions,
    old: Object | None = None,
    subresource: str = "",
) -> Attempt:
    """What admission is shown of this write."""
    return Attempt(
        cluster=call.cluster,
        view=view,
        user=call.user,
        served=call.resource,
        operation=operation,
        subresource=subresource,
        namespace=namespace,
        name=name,
        item=item,
        old=old,
        dry_run=options.dry_run,
        warnings=call.warnings,
    )


def _exchange(call: Call, view: View, operation: str, namespace: str, name: str, *, base: int) -> Exchange | None:
    """What webhooks have been asked about this write of an object that has the revision `base`; None: nobody asks."""
    found: Exchange | None = on_loop(webhooks.exchange, call, view, call.resource, (operation, namespace, name))
    if found is not None:
        found.begin(base)
    return found


def _check_place(attempt: Attempt) -> None:
    """A webhook may not move an object. Raises StatusError 400."""
    if attempt.item["metadata"].get("namespace", "") != attempt.namespace:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise errors.bad_request(text)


_IDENTITY = ("uid", "creationTimestamp", "name")


def _keep_identity(known: Object, meta: Object) -> None:
    """What an object was called when webhooks were asked about it, it is called when it is written."""
    for name in _IDENTITY:
        meta[name] = known.setdefault(name, meta.get(name, ""))


MOST_FINDINGS = 1000
"""Findings that an answer tells: a body can have a hundred thousand mistakes."""


def _create_findings(served: Served, item: Object) -> Iterable[FieldError]:
    strategy = served.strategy
    yield from metadata.validate_create(
        item["metadata"], namespaced=served.namespaced, name=strategy.name, builtin=served.kind.builtin
    )
    yield from strategy.validate(item)


def _refuse(call: Call, served: Served, name: str, findings: Iterable[FieldError]) -> None:
    found = list(islice(findings, MOST_FINDINGS))
    call.warnings.extend(each.text for each in found if each.type == errors.ONLY_WARNING)
    found = [each for each in found if each.type != errors.ONLY_WARNING]
    if found:
        # Events of both groups are those of the core group to validation.
        group = served.kind.storage_id.partition("/")[0] if served.kind.builtin else served.group
        raise errors.invalid(group, served.kind.kind, name, found)


def _warn(call: Call, item: Object, old: Object | None) -> None:
    warn = call.resource.strategy.warn
    if warn is not None:
        call.warnings.extend(islice(warn(item, old, call.cluster.catalog.number), MOST_FINDINGS))


def _exists(call: Call, served: Served, found: Entry) -> StatusError:
    error = errors.already_exists(served.group, served.plural, found.key.name)
    if on_loop(call.cluster.forms.object, served, found)["metadata"].get("deletionTimestamp"):
        error.message = f"object is being deleted: {error.message}"
    return error


def _free_name(call: Call, view: View, meta: Object) -> str:
    """A name that is not taken, as upstream tries up to eight."""
    prefix, served = meta["generateName"], call.resource
    name = ""
    for _ in range(8):
        name = names.generated(prefix, call.cluster.random)
        if view.get(storage.key_of(served, meta.get("namespace", ""), name)) is None:
            break
    return name


def _dedup_owners(call: Call, meta: Object) -> None:
    """Owner references that occur twice are dropped, with a warning."""
    owners = meta.get("ownerReferences")
    if not owners or len(owners) < 2:
        return
    kept: list[Object] = []
    seen: set[bytes] = set()
    for owner in owners:
        content = orjson.dumps(owner, option=orjson.OPT_SORT_KEYS)
        if content in seen:
            text = (
                f".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, "
                f"and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
                f"{owner.get('uid', '')}"
            )
            call.warnings.append(text)
        else:
            seen.add(content)
            kept.append(owner)
    meta["ownerReferences"] = kept


# --- updating -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """The object that there is, in the storage version. `shared` must not be changed, a `fresh` copy may."""

    served: Served
    entry: Entry
    shared: Object

    def fresh(self) -> Object:
        return storage.thaw(self.served, self.entry)


Change = Callable[[Stored], Object]
"""From the stored object to the wanted one (in the storage version), before ownership is tracked."""


def decide_update(
    call: Call,
    view: View,
    entry: Entry,
    facet: Facet,
    change: Change,
    options: WriteOptions,
    outcome: Outcome,
    *,
    tracked: bool = False,
    shape: Shape | None = None,
) -> Sequence[Operation]:
    """Replaces the object of `entry` by what `change` makes of it.

    `tracked`: `change` has settled the managedFields (server-side apply). `shape`: what webhooks are shown of it.
    """
    served, cluster = call.resource, call.cluster
    outcome.clear()
    old = on_loop(cluster.forms.object, served, entry)
    item = change(Stored(served, entry, old))
    exchange = _exchange(call, view, UPDATE, entry.key.namespace, entry.key.name, base=entry.revision)
    if exchange is not None:
        item = clone(item)  # the decision may be made several times
    meta, old_meta = item["metadata"], old["metadata"]
    _dedup_owners(call, meta)
    if not tracked:
        track(call, old, item, manager_of(call, options), served, facet)
    attempt = _attempt(call, view, UPDATE, entry.key.namespace, entry.key.name, item, options, old, facet.subresource)
    attempt.shape = shape
    on_loop(admission.mutate, attempt)
    if exchange is not None:
        on_loop(exchange.mutate, attempt, options.told(UPDATE), admission.mutate)
        item, meta = attempt.item, attempt.item["metadata"]
        _check_place(attempt)
        _dedup_owners(call, meta)
    _check_version(served, meta, entry)
    compared = on_loop(service_allocation.assigned, attempt)
    facet.prepare(served, item, compared)
    _keep_system_fields(meta, old_meta)
    _refuse(call, served, meta.get("name", ""), _update_findings(served, facet, item, compared))
    if not facet.subresource:
        _warn(call, item, compared)
    on_loop(admission.validate, attempt)
    if exchange is not None:
        on_loop(exchange.validate, attempt, options.told(UPDATE))
    if _is_finished(served, item, old_meta):
        outcome.item, outcome.deleted = item, True
        return [] if options.dry_run else [Remove(entry.key), *on_loop(admission.released, attempt)]
    _settle_times(item, old)
    settled = old if entry.version == served.stamp else None
    operation = put(call, served, item, settled)
    if storage.unchanged(entry, operation):
        outcome.item, outcome.entry = item, entry
        return []
    if on_loop(admission.allocate, attempt):
        operation = put(call, served, item)
    on_loop(admission.charge, attempt)
    outcome.item = item
    return [] if options.dry_run else [operation, *attempt.also]


def _check_version(served: Served, meta: Object, entry: Entry) -> None:
    """The resourceVersion of an update must be the current one; some kinds do without."""
    given = meta.get("resourceVersion", "")
    if not given or given == "0":
        if served.strategy.unconditional_update:
            meta["resourceVersion"] = str(entry.revision)
            return
        findings = [
            FieldError(
                "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update"
            )
        ]
        raise errors.invalid(served.group, served.plural, entry.key.name, findings)
    if not (given.isascii() and given.isdigit()):
        raise StatusError(500, "", f"strconv.ParseUint: parsing {errors.shown(given)}: invalid syntax")
    if int(given) != entry.revision:
        raise errors.stale(served.group, served.plural, entry.key.name)


def _keep_system_fields(meta: Object, old_meta: Object) -> None:
    """What no update changes: identity and times stay, and a deletion is never taken back."""
    if not meta.get("uid"):
        meta["uid"] = old_meta["uid"]
    meta.pop("selfLink", None)
    for name in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if old_meta.get(name) is not None:
            meta[name] = old_meta[name]


def _update_findings(served: Served, facet: Facet, item: Object, old: Object) -> Iterable[FieldError]:
    builtin = served.kind.builtin
    found = metadata.validate_update(item["metadata"], old["metadata"], builtin=builtin)
    yield from found
    if builtin and facet is MAIN:
        strategy = served.strategy
        whole = metadata.validate_whole(item["metadata"], namespaced=served.namespaced, name=strategy.name)
        yield from rechecks.of_update(served.kind.storage_id, found, whole)
    elif builtin:
        yield from found
    yield from facet.validate(served, item, old)


def _is_finished(served: Served, item: Object, old_meta: Object) -> bool:
    """Whether the update removed the last finalizer of an object that waits for nothing else.

    A namespace has finalizers in its spec as well: its content goes before it does.
    """
    if item["metadata"].get("finalizers") or not old_meta.get("deletionTimestamp"):
        return False
    if served.id == "/namespaces" and (item.get("spec") or {}).get("finalizers"):
        return False
    return not old_meta.get("deletionGracePeriodSeconds")


def _settle_times(item: Object, old: Object) -> None:
    """When nothing but the times in managedFields differs, the old times stay: then nothing is written."""
    new_fields = item["metadata"].get("managedFields")
    old_fields = old["metadata"].get("managedFields")
    if new_fields != old_fields:
        set_managed(item, apply.keep_times(old_fields, new_fields))


# --- ownership -------------------------------------------------------------------------------------------


def track(call: Call, old: Object | None, new: Object, manager: str, served: Served, facet: Facet) -> None:
    """Sets the managedFields of `new` as an update by `manager`. Objects are in the storage version."""
    shown_old, shown_new = old, new
    if not served.direct:
        shown_new = storage.from_storage(served, clone(new))
        shown_old = None if old is None else storage.from_storage(served, clone(old))
    fields = apply.track_update(
        shown_old,
        shown_new,
        served.kind.type,
        manager=manager,
        api_version=served.kind.api_version,
        now=rfc3339(call.cluster.clock.now()),
        subresource=facet.subresource,
        reset=facet.resets(served),
    )
    set_managed(new, fields)


def set_managed(item: Object, fields: list[Object] | None) -> None:
    if fields:
        item["metadata"]["managedFields"] = fields
    else:
        item["metadata"].pop("managedFields", None)


# --- answering ----------------------------------------------------------------------------------------------------


def written(events: Sequence[Event], served: Served, item: Object) -> Entry:
    """The entry that a transaction wrote for `item`."""
    for event in events:
        if event.new is not None and event.key.resource == served.id and event.key.name == item["metadata"]["name"]:
            return event.new
    raise LookupError(f"the transaction did not write {served.id} {item['metadata'].get('name')}")


async def answer(call: Call, events: Sequence[Event], outcome: Outcome, options: WriteOptions) -> Response:
    """The answer to a create, update or patch."""
    status = 201 if outcome.created else 200
    if outcome.entry is not None:
        make = partial(answers.entry, call, outcome.entry, status)
    elif options.dry_run or outcome.deleted:
        make = partial(answers.item, call, outcome.item, status)
    else:
        make = partial(answers.entry, call, written(events, call.resource, outcome.item), status)
    return await answers.settled(call, make)
