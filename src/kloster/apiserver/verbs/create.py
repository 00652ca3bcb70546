"""CREATE: POST to a collection."""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import Object, errors
from kloster.apiserver import answers, bodies, storage, write_options, writes
from kloster.apiserver.admission import service_account
from kloster.apiserver.call import Call
from kloster.apiserver.writes import Outcome
from kloster.client.transport import Response
from kloster.stores.api import Operation, View


async def serve(call: Call) -> Response:
    served = call.resource
    options = write_options.parse(call, "CreateOptions")
    call.form()
    item = bodies.read(call, bodies.expect(served.kind), options.validation)
    place(call, item)
    item = storage.to_storage(served, item)
    served.strategy.default(item)
    if served.id == "/pods":
        await service_account.settle(call.cluster, call.target.namespace, item)
    outcome = Outcome()

    def decide(view: View) -> Sequence[Operation]:
        return writes.decide_create(call, view, item, options, outcome)

    events = await call.cluster.store.transact(decide)
    if options.dry_run:
        return answers.item(call, outcome.item, 201)
    return answers.entry(call, writes.written(events, served, item), 201)


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
