"""CREATE: POST to a collection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kloster.apimachinery import Object, errors
from kloster.apimachinery.cloning import clone
from kloster.apiserver import aside, bodies, storage, write_options, writes
from kloster.apiserver.admission import service_account
from kloster.apiserver.audit.trace import Trace
from kloster.apiserver.call import Call
from kloster.apiserver.writes import Outcome
from kloster.client.transport import Response
from kloster.stores.api import Operation, View


async def serve(call: Call) -> Response:
    served = call.resource
    options = write_options.parse(call, "CreateOptions")
    call.form()
    long = aside.is_long(call)
    item = await aside.run(call, long, partial(read, call, options.validation))
    if served.id == "/pods":
        await service_account.settle(call.cluster, call.target.namespace, item)
    outcome = Outcome()

    def decide(view: View) -> Sequence[Operation]:
        return writes.decide_create(call, view, clone(item) if long else item, options, outcome)

    events = await aside.transact(call, long, decide)
    return await writes.answer(call, events, outcome, options)


def read(call: Call, validation: str) -> Object:
    """The object in the body, where it belongs, in the storage version, defaulted."""
    served = call.resource
    item = bodies.read(call, bodies.expect(served.kind), validation)
    given = item["metadata"].get("namespace")
    place(call, item)
    item = storage.to_storage(served, item)
    served.strategy.default(item)
    if call.trace is not None:
        _leave(call, call.trace, item, given)
    return item


def _leave(call: Call, trace: Trace, item: Object, namespace: str | None) -> None:
    """Tell the audit what was sent: the object before it was put into its namespace."""
    metadata = item["metadata"]
    trace.given = {key: str(metadata[key]) for key in ("name", "uid", "resourceVersion") if metadata.get(key)}
    if trace.bodies:
        shown = {key: value for key, value in metadata.items() if key != "namespace" or namespace}
        trace.sent = storage.document(call.resource, clone({**item, "metadata": shown}))


def place(call: Call, item: Object) -> None:
    """Puts the object into the namespace of the URL, if it names no other. Raises StatusError 400."""
    meta, namespace = item["metadata"], call.target.namespace
    if not call.resource.namespaced:
        meta.pop("namespace", None)
        return
    if meta.setdefault("namespace", namespace) != namespace:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise errors.bad_request(text)


def check_name(call: Call, item: Object) -> None:
    """The object's name must be the one in the URL. Raises StatusError 400."""
    given, wanted = item["metadata"].get("name", ""), call.target.name
    if not given:
        text = f"the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        raise errors.bad_request(text)
    if given != wanted:
        text = f"the name of the object ({given}) does not match the name on the URL ({wanted})"
        raise errors.bad_request(text)
