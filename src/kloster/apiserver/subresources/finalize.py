"""namespaces/finalize: the namespace controller says which of spec.finalizers are still at work.

When none is left and the namespace is being deleted, it goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.apiserver.call import Call
from kloster.apiserver.facets import Facet
from kloster.apiserver.resources import Served
from kloster.apiserver.verbs import update
from kloster.client.transport import Response


def _prepare(_: Served, new: Object, old: Object) -> None:
    """Nothing but spec.finalizers changes."""
    finalizers = (new.get("spec") or {}).get("finalizers")
    for name in ("spec", "status"):
        if name in old:
            new[name] = dict(old[name])
    spec = new.setdefault("spec", {})
    spec.pop("finalizers", None)
    if finalizers:
        spec["finalizers"] = finalizers


def _validate(served: Served, new: Object, old: Object) -> Iterable[FieldError]:
    yield from served.strategy.validate(new)


FINALIZE = Facet("finalize", _prepare, _validate)


def serve(call: Call) -> Response | Awaitable[Response]:
    return update.serve_facet(call, FINALIZE)
