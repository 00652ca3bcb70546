"""Subresources: one module each, and resources that exist only as questions (reviews). The tables say who answers.

A handler gets calls whose verb discovery lists for the subresource; everything else is answered here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from kloster.apimachinery import errors
from kloster.apiserver.call import Call
from kloster.apiserver.subresources import status
from kloster.client.transport import Response

Handler = Callable[[Call], Response | Awaitable[Response]]

# name, or (storage id, name) where kinds differ
HANDLERS: Mapping[str | tuple[str, str], Handler] = {
    "status": status.serve,
}

# (group, plural) of resources without objects
VIRTUAL: Mapping[tuple[str, str], Handler] = {}


def serve(call: Call) -> Response | Awaitable[Response]:
    """The answer of the subresource's module. Raises StatusError 404, 405."""
    target, served = call.target, call.resource
    name = target.subresource
    described = served.kind.subresources.get(name)
    handler = HANDLERS.get((served.id, name)) or HANDLERS.get(name)
    if described is None or handler is None:
        raise errors.path_not_found()
    if target.verb not in described.verbs:
        raise errors.method_not_allowed()
    return handler(call)
