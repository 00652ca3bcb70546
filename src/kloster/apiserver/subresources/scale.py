"""/scale: the number of replicas as an autoscaling/v1 Scale, the same for every kind that has one.

Reading shows what the object says about itself; writing changes its ``spec.replicas`` as an update of the object would,
with generation, admission and ownership under the subresource's name.

Source: https://kubernetes.io/docs/reference/kubernetes-api/autoscaling-resources/
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kloster.aio.aside import on_loop
from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, apply, errors, selectors
from kloster.apimachinery.errors import invalid_value
from kloster.apiserver import answers, aside, bodies, storage, write_options, writes
from kloster.apiserver.admission.api import Shape
from kloster.apiserver.bodies import Expected
from kloster.apiserver.call import Call
from kloster.apiserver.facets import MAIN, Facet
from kloster.apiserver.resources import ScalePaths, Served
from kloster.apiserver.verbs import create, get, patch
from kloster.apiserver.write_options import WriteOptions
from kloster.apiserver.writes import Outcome
from kloster.client.transport import Response
from kloster.stores.api import Entry, Operation, View

SCALE = Facet("scale", MAIN.prepare, MAIN.validate)
_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_GROUP, _VERSION, _KIND = "autoscaling", "v1", "Scale"


def serve(call: Call) -> Response | Awaitable[Response]:
    if call.target.verb == "get":
        found = call.cluster.forms.object(call.resource, get.find(call))
        _check(call.resource, found)
        return answers.value(call, shown(call.resource, found), 200, _expected(call).type)
    return _patch(call) if call.target.verb == "patch" else _update(call)


# --- reading ------------------------------------------------------------------------------------------------------


def _at(item: Any, path: Sequence[str]) -> Any:
    for name in path:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def shown(served: Served, item: Object) -> Object:
    """The Scale of an object (in the storage version)."""
    paths, meta = served.scale, item["metadata"]
    about = {name: meta[name] for name in _SHOWN if name in meta}
    wanted, status = _at(item, paths.replicas), {"replicas": _at(item, paths.status) or 0}
    selector = _selector(_at(item, paths.selector))
    if selector:
        status["selector"] = selector
    return {
        "kind": _KIND,
        "apiVersion": f"{_GROUP}/{_VERSION}",
        "metadata": about,
        "spec": {"replicas": wanted} if wanted else {},
        "status": status,
    }


def _check(served: Served, item: Object) -> None:
    """A custom resource without replicas has no Scale to show. Raises StatusError 500."""
    if not served.kind.builtin and _at(item, served.scale.replicas) is None:
        path = "." + ".".join(served.scale.replicas)
        raise errors.internal(f'the spec replicas field "{path}" does not exist')


def _selector(value: Any) -> str:
    """As text: a custom resource has a text, workloads a LabelSelector, ReplicationControllers a map."""
    if isinstance(value, str) or not value:
        return value or ""
    if "matchLabels" in value or "matchExpressions" in value:
        return str(selectors.of_object(value))
    return str(selectors.of_set(value))


# --- writing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Order:
    """What a write of a Scale asks for. `version` and `uid` are preconditions."""

    replicas: int
    version: str = ""
    uid: str = ""


def _expected(call: Call) -> Expected:
    type_ = call.cluster.catalog.type(_GROUP, _VERSION, _KIND)
    assert type_ is not None
    return Expected(_GROUP, _VERSION, _KIND, type_)


def _order(scale: Object, builtin: bool) -> _Order:
    """Raises StatusError 422."""
    meta = scale["metadata"]
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0 and builtin:  # a custom resource refuses it in its own words
        finding = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid(_GROUP, _KIND, meta.get("name", ""), [finding])
    return _Order(replicas, meta.get("resourceVersion", ""), meta.get("uid", ""))


async def _update(call: Call) -> Response:
    options = write_options.parse(call, "UpdateOptions")
    long = aside.is_long(call)
    scale = await aside.run(call, long, partial(bodies.read, call, _expected(call), options.validation))
    create.place(call, scale)
    create.check_name(call, scale)

    def change(entry: Entry) -> writes.Change:
        order = _order(scale, call.resource.kind.builtin)
        return lambda stored: _scaled(call, entry, stored.fresh(), order)

    return await _perform(call, options, change, long, tracked=not call.resource.kind.builtin)


async def _patch(call: Call) -> Response:
    media = patch.check_media(call)
    options = write_options.parse(call, "PatchOptions", media == patch.APPLY)
    long = aside.is_long(call)
    read = await aside.run(call, long, partial(patch.read, call, media))
    expected = _expected(call)

    def change(entry: Entry) -> writes.Change:
        if media == patch.APPLY:
            return lambda stored: _applied(call, stored.fresh(), read.value, options)
        before = shown(call.resource, on_loop(call.cluster.forms.object, call.resource, entry))
        after = patch.apply_to(before, read, expected.type)
        scale = patch.decode_patched(call, expected, after, read, options)
        create.check_name(call, scale)
        order = _order(scale, call.resource.kind.builtin)
        return lambda stored: _scaled(call, entry, stored.fresh(), order)

    # Upstream knows no owners of a custom resource's replicas: its type converter has no Scale.
    return await _perform(call, options, change, long, tracked=media == patch.APPLY or not call.resource.kind.builtin)


async def _perform(call: Call, options: WriteOptions, change: Any, long: bool, tracked: bool) -> Response:
    served, outcome, shape = call.resource, Outcome(), _shape(call)

    def decide(view: View) -> Sequence[Operation]:
        entry = view.get(storage.key_of(served, call.target.namespace, call.target.name))
        if entry is None:
            raise storage.missing(served, call.target.name)
        return writes.decide_update(
            call, view, entry, SCALE, change(entry), options, outcome, tracked=tracked, shape=shape
        )

    events = await aside.transact(call, long, decide)
    item = outcome.item
    if events:
        item = call.cluster.forms.object(served, writes.written(events, served, item))
    return answers.value(call, shown(served, item), 200, _expected(call).type)


def _shape(call: Call) -> Shape:
    """What webhooks see of the object, and how what they change is taken over."""
    served = call.resource

    def take(item: Object, scale: Object) -> Object:
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if replicas != (_at(item, served.scale.replicas) or 0):
            _set(item, served.scale, replicas)
        return item

    return Shape(_GROUP, _VERSION, _KIND, _expected(call).type, partial(shown, served), take)


def _scaled(call: Call, entry: Entry, item: Object, order: _Order) -> Object:
    """The object with another number of replicas."""
    served, meta = call.resource, item["metadata"]
    if order.uid and order.uid != meta["uid"]:
        text = f"Precondition failed: UID in precondition: {order.uid}, UID in object meta: {meta['uid']}"
        raise errors.conflict(served.group, served.plural, entry.key.name, text)
    if order.version:
        meta["resourceVersion"] = order.version
    _set(item, served.scale, order.replicas)
    return item


def _set(item: Object, paths: ScalePaths, replicas: int) -> None:
    place = item
    for name in paths.replicas[:-1]:
        place = place.setdefault(name, {})
    place[paths.replicas[-1]] = replicas


def _applied(call: Call, item: Object, scale: Object, options: WriteOptions) -> Object:
    """Server-side apply of a Scale: of nothing but the replicas of its object."""
    served, kind = call.resource, call.resource.kind
    if (scale.get("kind"), scale.get("apiVersion")) != (_KIND, f"{_GROUP}/{_VERSION}"):
        raise errors.bad_request(f"invalid object type: {scale.get('apiVersion', '/')}, Kind={scale.get('kind', '')}")
    wanted: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": call.target.name}}
    replicas = (scale.get("spec") or {}).get("replicas")
    if replicas is not None:
        _set(wanted, served.scale, replicas)
    merged = apply.apply(
        storage.from_storage(served, item),
        wanted,
        kind.type,
        manager=options.manager,
        api_version=kind.api_version,
        force=options.force,
        now=rfc3339(call.cluster.clock.now()),
        subresource="scale",
    )
    return storage.to_storage(served, merged)
