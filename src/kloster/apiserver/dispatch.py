"""From what is asked for to who answers it: the tables of verbs, subresources and paths.

Existence is checked here, after authorization: a resource that is not served, a verb that it lacks, a namespace in the
path of something that has none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from kloster.apimachinery import errors
from kloster.apiserver import answers, endpoints, subresources
from kloster.apiserver.call import Call
from kloster.apiserver.ports import Target
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
    if served.deprecation:
        call.warnings.append(served.deprecation)
    if target.subresource:
        if bool(target.namespace) is not served.namespaced and served.id != "/namespaces":
            raise errors.path_not_found()
        return subresources.serve(call)
    _check_scope(call)
    handler = subresources.VIRTUAL.get((served.group, served.plural)) or VERBS.get(target.verb)
    if handler is None or target.verb not in served.kind.verbs or not _fits(target):
        raise _no_such_method(target.name, served.kind.verbs)
    return handler(call)


def _no_such_method(name: str, verbs: frozenset[str]) -> errors.StatusError:
    """405, or 404 below a collection whose objects cannot be addressed at all."""
    return errors.method_not_allowed() if not name or verbs & _NAMED else errors.path_not_found()


def _fits(target: Target) -> bool:
    """Whether the verb goes with a path that does, or does not, end in a name."""
    return target.verb in _ANYWHERE or bool(target.name) is (target.verb in _NAMED)


def _check_scope(call: Call) -> None:
    """Raises StatusError 404 or 405 for a path that does not fit the resource's scope."""
    target, served = call.target, call.resource
    if served.namespaced:
        if not target.namespace and target.verb not in _ANYWHERE:
            raise errors.path_not_found() if target.verb in _NAMED and target.name else errors.method_not_allowed()
    elif target.namespace and served.id != "/namespaces":
        raise errors.path_not_found()


def _unknown(call: Call) -> Answer:
    """A resource that is not served: a Status in a built-in group, plain text elsewhere."""
    if call.target.group not in call.cluster.resources.built_in.groups:
        return answers.not_found_text(call)
    raise errors.path_not_found()
