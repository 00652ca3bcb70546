"""From what is asked for to who answers it: the tables of verbs, subresources and paths.

Existence is checked here, after authorization: a resource that is not served, a verb that it lacks, a namespace in the
path of something that has none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import answers, endpoints, subresources
from kloster.apiserver.call import Call
from kloster.apiserver.verbs import create, delete, deletecollection, get, list, patch, update, watch
from kloster.client.transport import Response

Answer = Response | Awaitable[Response]
Handler = Callable[[Call], Answer]

VERBS: Mapping[str, Handler] = {
    "get": get.serve,
    "list": list.serve,
    "watch": watch.serve,
    "create": create.serve,
    "update": update.serve,
    "patch": patch.serve,
    "delete": delete.serve,
    "deletecollection": deletecollection.serve,
}

_NAMED = frozenset({"get", "update", "patch", "delete"})
_ANYWHERE = frozenset({"list", "watch"})


def dispatch(call: Call) -> Answer:
    """The answer of whoever is responsible."""
    target, served = call.target, call.served
    if not target.is_resource:
        return endpoints.serve(call)
    if served is None:
        return _unknown(call)
    if target.subresource:
        if bool(target.namespace) is not served.namespaced and served.id != "/namespaces":
            raise errors.path_not_found()
        return subresources.serve(call)
    _check_scope(call)
    verb = target.verb
    if verb not in served.kind.verbs or (bool(target.name) is not (verb in _NAMED) and verb not in _ANYWHERE):
        virtual = subresources.VIRTUAL.get((served.group, served.plural))
        if virtual is None or verb not in served.kind.verbs:
            raise errors.method_not_allowed()
        return virtual(call)
    virtual = subresources.VIRTUAL.get((served.group, served.plural))
    return virtual(call) if virtual is not None else VERBS[verb](call)


def _check_scope(call: Call) -> None:
    """Raises StatusError 404 or 405 for a path that does not fit the resource's scope."""
    target, served = call.target, call.resource
    if served.namespaced:
        if not target.namespace and target.verb not in _ANYWHERE:
            raise errors.path_not_found() if target.verb in _NAMED and target.name else errors.method_not_allowed()
    elif target.namespace and served.id != "/namespaces":
        raise errors.path_not_found()


def _unknown(call: Call) -> Answer:
    """A resource that is not served: a Status in a known group, plain text elsewhere."""
    if not call.cluster.resources.has_group(call.target.group):
        return answers.not_found_text(call)
    raise _missing()


def _missing() -> StatusError:
    return errors.path_not_found()
