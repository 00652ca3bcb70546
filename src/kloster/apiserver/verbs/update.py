"""UPDATE: PUT of a whole object, conditional on its resourceVersion where one is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kloster.aio.aside import on_loop
from kloster.apimachinery import Object, errors
from kloster.apimachinery.cloning import clone
from kloster.apiserver import aside, storage, write_options, writes
from kloster.apiserver.call import Call
from kloster.apiserver.facets import MAIN, Facet
from kloster.apiserver.verbs import create
from kloster.apiserver.write_options import WriteOptions
from kloster.apiserver.writes import Outcome
from kloster.client.transport import Response
from kloster.stores.api import Entry, Operation, View


async def serve(call: Call) -> Response:
    return await serve_facet(call, MAIN)


async def serve_facet(call: Call, facet: Facet) -> Response:
    """PUT of an object through its main resource or a subresource that shows it whole."""
    options = write_options.parse(call, "UpdateOptions")
    call.form()
    long = aside.is_long(call)
    item = await aside.run(call, long, partial(_read, call, options.validation))
    return await perform(call, facet, item, options, long)


def _read(call: Call, validation: str) -> Object:
    item = create.read(call, validation)
    create.check_name(call, item)
    return item


async def perform(call: Call, facet: Facet, item: Object, options: WriteOptions, long: bool = False) -> Response:
    """Writes `item` (in the storage version, defaulted) and answers."""
    served = call.resource
    outcome = Outcome()

    def decide(view: View) -> Sequence[Operation]:
        key = storage.key_of(served, call.target.namespace, call.target.name)
        entry = view.get(key)
        if entry is None:
            if facet is not MAIN or not served.strategy.create_on_update or item["metadata"].get("uid"):
                raise missing_for_update(call, item)
            return writes.decide_create(call, view, clone(item) if long else item, options, outcome)
        check_uid(call, item, entry)
        change = (lambda _: clone(item)) if long else (lambda _: item)
        return writes.decide_update(call, view, entry, facet, change, options, outcome)

    events = await aside.transact(call, long, decide)
    return await writes.answer(call, events, outcome, options)


def missing_for_update(call: Call, item: Object) -> errors.StatusError:
    served, uid = call.resource, item["metadata"].get("uid")
    if not uid:
        return storage.missing(served, call.target.name)
    key = _registry_key(call)
    text = (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
    )
    return errors.conflict(served.group, served.plural, call.target.name, text)


def check_uid(call: Call, item: Object, entry: Entry) -> None:
    """A uid in the body is a precondition. Raises StatusError 409."""
    uid = item["metadata"].get("uid")
    if not uid:
        return
    served = call.resource
    current = on_loop(call.cluster.forms.object, served, entry)["metadata"]["uid"]
    if uid != current:
        text = (
            f"StorageError: invalid object, Code: 4, Key: {_registry_key(call)}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {current}"
        )
        raise errors.conflict(served.group, served.plural, call.target.name, text)


def _registry_key(call: Call) -> str:
    """The key that upstream's message shows."""
    served, target = call.resource, call.target
    parts = ["/registry", served.plural, target.namespace if served.namespaced else "", target.name]
    if not served.kind.builtin:
        parts.insert(1, served.group)
    return "/".join(part for part in parts if part)
