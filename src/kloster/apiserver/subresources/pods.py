"""pods/ephemeralcontainers and pods/resize: the parts of a running pod's spec that may change, each by its own door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.apply import fieldset
from kloster.apimachinery.apply.reset import Reset
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import FieldError, forbidden_field
from kloster.apiserver.call import Call
from kloster.apiserver.facets import Facet
from kloster.apiserver.resources import Served
from kloster.apiserver.verbs import get, patch, update
from kloster.client.transport import Response
from kloster.kinds.metadata import same

_RESIZABLE = ("resources", "resizePolicy")
_LISTS = ("containers", "initContainers")


def _prepare_ephemeral(served: Served, new: Object, old: Object) -> None:
    ephemeral = new["spec"].get("ephemeralContainers")
    _restore(new, old)
    if ephemeral:
        new["spec"]["ephemeralContainers"] = ephemeral
    else:
        new["spec"].pop("ephemeralContainers", None)
    _count(served, new, old)


def _prepare_resize(served: Served, new: Object, old: Object) -> None:
    wanted = {kind: {item.get("name"): item for item in new["spec"].get(kind) or ()} for kind in _LISTS}
    _restore(new, old)
    for kind in _LISTS:
        for container in new["spec"].get(kind) or ():
            asked = wanted[kind].get(container["name"])
            if asked is None:
                continue
            for name in _RESIZABLE:
                if name in asked:
                    container[name] = asked[name]
    _count(served, new, old)


def _restore(new: Object, old: Object) -> None:
    """Everything as it is, but for what identifies the write."""
    meta = {name: value for name, value in new["metadata"].items() if name in ("managedFields", "resourceVersion")}
    kept = clone(old)
    kept["metadata"].pop("managedFields", None)
    new.clear()
    new.update(kept)
    new["metadata"].update(meta)


def _count(served: Served, new: Object, old: Object) -> None:
    if served.strategy.generation and not same(new["spec"], old["spec"]):
        new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


def _validate_ephemeral(served: Served, new: Object, old: Object) -> Iterable[FieldError]:
    yield from served.strategy.validate(new)
    known = {item["name"]: item for item in new["spec"].get("ephemeralContainers") or ()}
    for item in old["spec"].get("ephemeralContainers") or ():
        current = known.get(item["name"])
        path = "spec.ephemeralContainers"
        if current is None:
            yield forbidden_field(path, f'existing ephemeral containers "{item["name"]}" may not be removed\n')
        elif not same(current, item):
            yield forbidden_field(path, f'existing ephemeral containers "{item["name"]}" may not be changed\n')


def _validate_resize(served: Served, new: Object, old: Object) -> Iterable[FieldError]:
    yield from served.strategy.validate(new)
    if (new.get("status") or {}).get("qosClass") != (old.get("status") or {}).get("qosClass"):
        yield forbidden_field("metadata", "Pod QOS Class may not change as a result of resizing")


_EPHEMERAL_ONLY = Reset({}, only=fieldset.from_paths(("f:spec", "f:ephemeralContainers")))
EPHEMERAL = Facet("ephemeralcontainers", _prepare_ephemeral, _validate_ephemeral, lambda _: _EPHEMERAL_ONLY)
RESIZE = Facet("resize", _prepare_resize, _validate_resize)


def _server(facet: Facet) -> Callable[[Call], Response | Awaitable[Response]]:
    def serve(call: Call) -> Response | Awaitable[Response]:
        if call.target.verb == "get":
            return get.serve(call)
        return patch.serve_facet(call, facet) if call.target.verb == "patch" else update.serve_facet(call, facet)

    return serve


ephemeralcontainers = _server(EPHEMERAL)
resize = _server(RESIZE)
