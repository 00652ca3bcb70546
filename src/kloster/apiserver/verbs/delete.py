"""DELETE of one object: at once, or by marking it until its finalizers and its grace period have passed.

An object that somebody must still clean up after (finalizers, dependents to orphan or to delete first) only gets a
deletionTimestamp; the update that removes its last finalizer removes it (`writes`). A kind with grace (pods) is
marked and waits for whoever runs it to delete it with a grace of zero.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/,
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import yaml

from kloster.aio.aside import on_loop
from kloster.aio.clock import parse_rfc3339, rfc3339
from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError, StatusError, invalid_value, not_supported
from kloster.apimachinery.schema.decode import decode
from kloster.apiserver import admission, answers, aside, bodies, negotiation, storage, write_options, writes, yaml_text
from kloster.apiserver.admission import definitions, webhooks
from kloster.apiserver.admission.api import DELETE, Attempt
from kloster.apiserver.call import Call
from kloster.apiserver.negotiation import JSON, YAML, Unreadable
from kloster.apiserver.resources import Served
from kloster.client.transport import Response
from kloster.stores.api import Entry, Event, Operation, Remove, View

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Foreground", "Background", "Orphan", "nil")
_NAMESPACES = "/namespaces"
_EVENTS = "/events"


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Checked options. `grace` in seconds; `orphan` is the old orphanDependents."""

    grace: int | None = None
    uid: str | None = None
    version: str | None = None
    policy: str | None = None
    orphan: bool | None = None
    dry_run: bool = False

    def told(self) -> Object:
        """The options as admission webhooks are told them."""
        preconditions = {"uid": self.uid, "resourceVersion": self.version}
        given = {
            "gracePeriodSeconds": self.grace,
            "preconditions": {name: value for name, value in preconditions.items() if value is not None} or None,
            "orphanDependents": self.orphan,
            "propagationPolicy": self.policy,
            "dryRun": ["All"] if self.dry_run else None,
        }
        told = {name: value for name, value in given.items() if value is not None}
        return {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", **told}


async def serve(call: Call) -> Response:
    long = aside.is_long(call)
    options = await aside.run(call, long, partial(parse, call))
    call.form()
    served, target = call.resource, call.target
    key = storage.key_of(served, target.namespace, target.name)
    deletion = Deletion(call, options)

    def decide(view: View) -> Sequence[Operation]:
        entry = view.get(key)
        if entry is None:
            raise storage.missing(served, target.name)
        return deletion.decide(view, entry)

    events = await aside.transact(call, long, decide)
    return await answers.settled(call, partial(deletion.answer, events))


# --- options ------------------------------------------------------------------------------------------------------


def parse(call: Call) -> DeleteOptions:
    """Options from the body, or from parameters if there is none. Raises StatusError 400, 415, 422 or 500."""
    return checked(_from_body(call) if call.request.body else _from_query(call))


def checked(given: Object) -> DeleteOptions:
    """Options given as an object. Raises StatusError 422."""
    options = DeleteOptions(
        given.get("gracePeriodSeconds"),
        (given.get("preconditions") or {}).get("uid"),
        (given.get("preconditions") or {}).get("resourceVersion"),
        given.get("propagationPolicy"),
        given.get("orphanDependents"),
        bool(given.get("dryRun")),
    )
    found = list(_findings(options, given))
    if found:
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", found)
    return options


def _findings(options: DeleteOptions, given: Object) -> Iterable[FieldError]:
    policy = options.policy
    if options.orphan is not None and policy is not None:
        yield invalid_value("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
    if policy is not None and policy not in _POLICIES[:3]:
        yield not_supported("propagationPolicy", policy, _POLICIES)
    yield from write_options.check_dry_run(given.get("dryRun") or ())


def _from_body(call: Call) -> Object:
    body = call.request.body
    media = negotiation.body_type(call.request.headers.get("content-type", ""))
    type_ = call.cluster.catalog.type("", "v1", "DeleteOptions")
    assert type_ is not None
    if media in call.cluster.codecs:
        try:
            return call.cluster.codecs[media].decode(body, type_)
        except Unreadable as error:
            raise StatusError(500, "", str(error)) from None
    if media not in (JSON, YAML):
        raise negotiation.unsupported_body(media, call.offered())
    value = _yaml(body) if media == YAML else _json(body)
    kind = value.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        version = value.get("apiVersion") or "meta.k8s.io/v1"
        text = f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:110"'
        raise StatusError(500, "", text)
    return decode(type_, value).object


def _json(body: bytes) -> Object:
    """Upstream answers a body that cannot be read with a plain 500."""
    try:
        return bodies.parse_json(body, "DeleteOptions")
    except StatusError as error:
        if error.code == 413:
            raise
        text = f"couldn't get version/kind; json parse error: {bodies.json_problem(body)}"
        raise StatusError(500, "", text) from None


def _yaml(body: bytes) -> Object:
    try:
        value = yaml_text.load(body)[0]
    except yaml.YAMLError as error:
        raise StatusError(500, "", f"yaml: {yaml_text.problem(error)}") from None
    if value is not None and not isinstance(value, dict):
        raise StatusError(500, "", bodies.no_object(value))
    return value or {}


def _from_query(call: Call) -> Object:
    given: Object = {}
    grace = call.integer("gracePeriodSeconds")
    if grace is not None:
        given["gracePeriodSeconds"] = grace
    for name, value in call.request.query:
        if name == "dryRun":
            given.setdefault("dryRun", []).append(value)
        elif name == "propagationPolicy":
            given[name] = value
        elif name == "orphanDependents":
            given[name] = call.flag(name)
    return given


# --- deciding -----------------------------------------------------------------------------------------------------


class Deletion:
    """One deletion on its way from the decision to the answer."""

    def __init__(
        self,
        call: Call,
        options: DeleteOptions,
        amend: Callable[[Object], None] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self.call = call
        self.options = options
        self.amend = amend  # a last change of the object, for whoever still sees it
        self.quiet = quiet  # webhooks are not asked: they were, about what leads to the deletion
        self.gone = False
        self.entry: Entry | None = None
        self.item: Object = {}
        self.changed = False

    def decide(self, view: View, entry: Entry) -> Sequence[Operation]:
        """What deleting the object of `entry` does to the store."""
        call, served, options = self.call, self.call.resource, self.options
        old = on_loop(call.cluster.forms.object, served, entry)
        self.entry, self.item, self.gone, self.changed = entry, old, False, False
        attempt = Attempt(
            cluster=call.cluster,
            view=view,
            user=call.user,
            served=served,
            operation=DELETE,
            namespace=entry.key.namespace,
            name=entry.key.name,
            old=old,
            single=call.target.verb != "deletecollection",
            dry_run=options.dry_run,
            warnings=call.warnings,
        )
        exchange = None
        if not self.quiet:
            exchange = on_loop(webhooks.exchange, call, view, served, (DELETE, *entry.key[1:]))
        on_loop(admission.mutate, attempt)
        if exchange is not None:
            exchange.begin(entry.revision)
            on_loop(exchange.mutate, attempt, self._told(old), admission.mutate)
        check_preconditions(served, old, options)
        on_loop(admission.validate, attempt)
        if exchange is not None:
            on_loop(exchange.validate, attempt, self._told(old))
        item = storage.thaw(served, entry)
        if self.amend is not None:
            self.amend(item)
        if served.id == _NAMESPACES:
            return self._decide_namespace(attempt, entry, item)
        if served.id == definitions.DEFINITIONS:
            return on_loop(self._decide_definition, attempt, item)
        return self._decide(attempt, entry, item)

    def _told(self, old: Object) -> Object:
        """The options as admission webhooks are told them; a namespace is bound to its UID."""
        told = self.options.told()
        if self.call.resource.id == _NAMESPACES:
            told["preconditions"] = {"uid": old["metadata"]["uid"], **told.get("preconditions", {})}
        return told

    def _decide(self, attempt: Attempt, entry: Entry, item: Object) -> Sequence[Operation]:
        call, served = self.call, self.call.resource
        now = call.cluster.clock.now()
        meta = item["metadata"]
        period = None
        if served.strategy.graceful is not None:
            waiting = meta.get("deletionTimestamp") is not None
            period = _shortened(meta, self.options) if waiting else served.strategy.graceful(item, self.options.grace)
            if waiting and period == _PENDING:
                return ()
            if not waiting and period is not None:
                _mark(meta, now + period, period)
        finalizers = _finalizers(meta, self.options, _default_orphan(served))
        if finalizers:
            meta["finalizers"] = finalizers
        else:
            meta.pop("finalizers", None)
        if period is None and finalizers:
            _mark(meta, now, 0)
        if finalizers or (period is not None and period > 0):
            return self._replace(attempt, entry, item)
        self.gone, self.item = True, item
        if self.options.dry_run:
            return ()
        marked = [storage.put(served, item)] if period is not None else []
        return [*marked, Remove(entry.key), *on_loop(admission.released, attempt)]

    def _decide_namespace(self, attempt: Attempt, entry: Entry, item: Object) -> Sequence[Operation]:
        """A namespace is first marked as Terminating; it goes when its controller has emptied it."""
        meta = item["metadata"]
        if meta.get("deletionTimestamp") is None:
            meta["deletionTimestamp"] = rfc3339(self.call.cluster.clock.now())
            item.setdefault("status", {})["phase"] = "Terminating"
            finalizers = _finalizers(meta, self.options, False)
            if finalizers:
                meta["finalizers"] = finalizers
            return self._replace(attempt, entry, item)
        if (item.get("spec") or {}).get("finalizers"):
            return ()
        return self._decide(attempt, entry, item)

    def _decide_definition(self, attempt: Attempt, item: Object) -> Sequence[Operation]:
        """A definition goes with its objects, or waits for them."""
        operations = definitions.terminate(attempt, item)
        self.item = item
        self.changed = not self.options.dry_run
        return operations if self.changed else ()

    def _replace(self, attempt: Attempt, entry: Entry, item: Object) -> Sequence[Operation]:
        operation = storage.put(attempt.served, item)
        self.item = item
        if storage.unchanged(entry, operation):
            return ()
        self.changed = not self.options.dry_run
        return [operation] if self.changed else ()

    # --- answering ------------------------------------------------------------------------------------------------

    def answer(self, events: Sequence[Event]) -> answers.Answer:
        """The object while it waits, otherwise a Status (or the object, for kinds that always return it)."""
        call, served = self.call, self.call.resource
        assert self.entry is not None
        if self.changed:
            status = 202 if self.options.orphan is False else 200
            return answers.entry(call, writes.written(events, served, self.item), status)
        waiting = not self.gone and not self._pending_grace()
        if self.gone and events:
            version = str(max(event.revision for event in events if event.key == self.entry.key))
            self.item = {**self.item, "metadata": {**self.item["metadata"], "resourceVersion": version}}
        if waiting or served.strategy.returns_deleted:
            return answers.item(call, self.item, 200)
        details = {
            "name": self.entry.key.name,
            "group": served.group,
            "kind": served.plural,
            "uid": self.item["metadata"].get("uid", ""),
        }
        return answers.success(call, {name: value for name, value in details.items() if value})

    def _pending_grace(self) -> bool:
        return bool(self.item["metadata"].get("deletionGracePeriodSeconds"))


_PENDING = -1


def _shortened(meta: Object, options: DeleteOptions) -> int | None:
    """The grace of an object that is being deleted already: it can only be shortened. `_PENDING`: nothing changes."""
    current = meta.get("deletionGracePeriodSeconds")
    if not current:
        return None
    asked = options.grace
    if asked is None or asked >= current:
        return _PENDING
    began = parse_rfc3339(meta["deletionTimestamp"]) - current
    meta["deletionTimestamp"] = rfc3339(began + asked)
    meta["deletionGracePeriodSeconds"] = asked
    return asked


def _mark(meta: Object, when: float, grace: int) -> None:
    """Sets the deletionTimestamp; the first time, the generation moves (controllers should notice)."""
    current = meta.get("deletionTimestamp")
    if current is None and meta.get("generation"):
        meta["generation"] += 1
    if current is None or parse_rfc3339(current) > when:
        meta["deletionTimestamp"] = rfc3339(when)
    meta["deletionGracePeriodSeconds"] = grace


def _default_orphan(served: Served) -> bool | None:
    """Whether dependents are orphaned unless told otherwise. None: the kind takes no part in garbage collection."""
    return None if served.id == _EVENTS else served.strategy.orphan_by_default


def _finalizers(meta: Object, options: DeleteOptions, default_orphan: bool | None) -> list[str]:
    """The object's finalizers with those that the propagation policy needs, and without those that it does not."""
    present: list[str] = meta.get("finalizers") or []
    if default_orphan is None:
        return present
    orphan, foreground = default_orphan, False
    for name in present:
        if name in (ORPHAN, FOREGROUND):
            orphan, foreground = name == ORPHAN, name == FOREGROUND
            break
    if options.orphan is not None:
        orphan, foreground = options.orphan, False
    elif options.policy is not None:
        orphan, foreground = options.policy == "Orphan", options.policy == "Foreground"
    wanted = [ORPHAN] * orphan + [FOREGROUND] * foreground
    kept = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    return present if set(present) == {*kept, *wanted} else [*kept, *wanted]


def check_preconditions(served: Served, old: Object, options: DeleteOptions) -> None:
    """Raises StatusError 409 if the object is not the one that was meant."""
    meta = old["metadata"]
    checks = (
        ("UID", options.uid, meta.get("uid", ""), "The object might have been deleted and then recreated"),
        ("ResourceVersion", options.version, meta["resourceVersion"], "The object might have been modified"),
    )
    for what, asked, current, guess in checks:
        if asked is not None and asked != current:
            text = f"the {what} in the precondition ({asked}) does not match the {what} in record ({current}). {guess}"
            raise errors.conflict(served.group, served.kind.kind, meta["name"], text)
