"""What all questions have in common: reading the body and recording who wrote its spec."""

from __future__ import annotations

from collections.abc import Sequence

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, errors
from kloster.apimachinery.apply import track_update
from kloster.apimachinery.errors import FieldError
from kloster.apiserver import answers, aside, asking, bodies, write_options, writes
from kloster.apiserver.admission.api import CREATE, Shape
from kloster.apiserver.call import Call
from kloster.apiserver.verbs import create
from kloster.apiserver.write_options import WriteOptions
from kloster.client.transport import Response


async def read(call: Call) -> Object:
    """The question, with its managedFields, as webhooks leave it. Raises StatusError."""
    options = write_options.parse(call, "CreateOptions")
    item = await aside.run(call, aside.is_long(call), lambda: _read(call, options))
    kind = call.resource.kind
    shape, told = Shape(kind.group, kind.version, kind.kind, kind.type), options.told(CREATE)
    return await asking.asked(call, item, shape, told, dry_run=options.dry_run)


def _read(call: Call, options: WriteOptions) -> Object:
    kind = call.resource.kind
    item = bodies.read(call, bodies.expect(kind), options.validation)
    create.place(call, item)
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        item["metadata"].pop(name, None)
    fields = track_update(
        None,
        item,
        kind.type,
        manager=write_options.manager_of(call, options),
        api_version=kind.api_version,
        now=rfc3339(call.cluster.clock.now()),
    )
    writes.set_managed(item, fields)
    return item


def answer(call: Call, item: Object) -> Response:
    return answers.typed(call, item, call.resource.kind.type, 201)


def refuse(call: Call, found: Sequence[FieldError]) -> None:
    """Raises StatusError 422, without a kind, as upstream words it for questions."""
    if found:
        raise errors.invalid(call.resource.group, "", "", found)
